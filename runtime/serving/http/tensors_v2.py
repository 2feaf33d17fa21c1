"""Tensors of the Open Inference Protocol: as lists in the JSON, or as raw bytes behind it."""

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from ..live.tensors import Tensor
from .refusals import RefusedError

_TYPES = {"UINT8": np.uint8, "FP32": np.float32, "FP64": np.float64}
_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}
#: How many bytes of a body are JSON; raw bytes follow.
HEADER = "Inference-Header-Content-Length"


def tensors_of(document: Mapping[str, Any], raw: bytes) -> dict[str, Tensor]:
    """A request's inputs by their names; ``raw`` is what follows its JSON.

    Raises:
        RefusedError: they are not as the protocol has them, or there are more or fewer bytes than they say.
    """
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise RefusedError(400, "The request has no inputs", expected='"inputs": [{...}]')
    tensors: dict[str, Tensor] = {}
    for each in inputs:
        name, parameters = each.get("name"), each.get("parameters")
        if not isinstance(name, str) or name in tensors:
            raise RefusedError(400, "An input has no name of its own")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            tensors[name] = _from_list(name, each)
            continue
        if type(size) is not int or not 0 <= size <= len(raw):
            raise RefusedError(400, f"{name} has another size than it says", got=size, expected=f"0 to {len(raw)}")
        tensors[name], raw = _from_bytes(name, each, raw[:size]), raw[size:]
    if raw:
        raise RefusedError(400, "There are more bytes than tensors", got=len(raw), expected=0)
    return tensors


def _kind(name: str, tensor: Mapping[str, Any]) -> tuple[str, list[int]]:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    known = isinstance(datatype, str) and (datatype in _TYPES or datatype == "BYTES")
    if not known or not isinstance(shape, list) or not all(type(dim) is int and dim >= 0 for dim in shape):
        expected = f"a datatype of {', '.join(_TYPES)}, BYTES and a shape"
        raise RefusedError(400, f"{name[:40]} is no tensor", got=str(datatype)[:40], expected=expected)
    return str(datatype), shape


def _from_list(name: str, tensor: Mapping[str, Any]) -> Tensor:
    datatype, shape = _kind(name, tensor)
    data = tensor.get("data")
    try:
        if datatype == "BYTES":
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise ValueError("another number of elements than its shape")
            # Text in JSON: a byte a character, as Latin-1 has them.
            return [text.encode("latin-1") for text in data]
        return np.asarray(data, _TYPES[datatype]).reshape(shape)
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise RefusedError(400, f"{name[:40]} has no data", got=str(error)[:120]) from error


def _from_bytes(name: str, tensor: Mapping[str, Any], content: bytes) -> Tensor:
    datatype, shape = _kind(name, tensor)
    try:
        if datatype == "BYTES":
            return _strings(content, math.prod(shape))
        return np.frombuffer(content, np.dtype(_TYPES[datatype]).newbyteorder("<")).reshape(shape)
    except (ValueError, struct.error) as error:
        raise RefusedError(400, f"{name[:40]} has other data", got=str(error)[:120]) from error


def _strings(content: bytes, count: int) -> list[bytes]:
    """Byte strings, each behind its length in four bytes."""
    found = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        if length > len(content) - 4:
            raise ValueError(f"a string of {length} bytes")
        found.append(content[4 : 4 + length])
        content = content[4 + length :]
    if len(found) != count:
        raise ValueError(f"{len(found)} strings where its shape says {count}")
    return found


def answered(name: str, version: str, document: Mapping[str, Any], outputs: Mapping[str, NDArray[Any]]) -> Response:
    """The answer with the outputs that the request asks for: all, unless it names some.

    Raises:
        RefusedError: it asks for others.
    """
    parameters = document.get("parameters")
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    asked = document.get("outputs") or [{"name": each} for each in outputs]
    if not isinstance(asked, list) or not all(isinstance(each, dict) and each.get("name") in outputs for each in asked):
        raise RefusedError(400, "The request asks for other outputs", expected=", ".join(outputs))
    described, raw = [], b""
    for each in asked:
        array, own = outputs[each["name"]], each.get("parameters")
        entry: dict[str, Any] = {"name": each["name"], "datatype": _NAMES[array.dtype], "shape": list(array.shape)}
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        if binary:
            content = array.tobytes()
            entry["parameters"] = {"binary_data_size": len(content)}
            raw += content
        else:
            entry["data"] = array.ravel().tolist()
        described.append(entry)
    answer = {"model_name": name, "model_version": version, "outputs": described}
    if "id" in document:
        answer["id"] = str(document["id"])[:200]
    if not raw:
        return JSONResponse(answer)
    text = json.dumps(answer).encode()
    return Response(text + raw, media_type="application/octet-stream", headers={HEADER: str(len(text))})
