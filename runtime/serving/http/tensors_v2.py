"""Tensors of the Open Inference Protocol: as lists in the JSON, or as raw bytes behind it."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from ..live.tensors import INPUTS, Tensor
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
    if len(inputs) > len(INPUTS):
        raise RefusedError(400, "There are more inputs than any request has", got=len(inputs), expected=len(INPUTS))
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
            expected = f"0 to {len(raw)}"
            raise RefusedError(400, f"{name[:40]} has another size than it says", got=str(size)[:40], expected=expected)
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
            return _strings(memoryview(content), math.prod(shape))
        return np.frombuffer(content, np.dtype(_TYPES[datatype]).newbyteorder("<")).reshape(shape)
    except (ValueError, struct.error) as error:
        raise RefusedError(400, f"{name[:40]} has other data", got=str(error)[:120]) from error


def _strings(content: memoryview, count: int) -> list[bytes]:
    """Byte strings, each behind its length in four bytes; a view, since bytes would be copied at every cut."""
    found: list[bytes] = []
    while content and len(found) <= count:
        (length,) = struct.unpack_from("<I", content)
        if length > len(content) - 4:
            raise ValueError(f"a string of {length} bytes")
        found.append(bytes(content[4 : 4 + length]))
        content = content[4 + length :]
    if len(found) != count:
        raise ValueError(f"{len(found)} strings or more where its shape says {count}")
    return found


@dataclass(frozen=True)
class Wish:
    """What a request's answer needs of it: the outputs by name, whether each as raw bytes, and the request's id."""

    outputs: Mapping[str, bool]
    id: str | None


def wish_of(document: Mapping[str, Any], there: Sequence[str]) -> Wish:
    """What a request wants of its answer: all outputs, unless it names some.

    Raises:
        RefusedError: it names others, or one twice.
    """
    all_binary = _flag(document, "binary_data_output", False)
    asked = document.get("outputs") or [{"name": name} for name in there]
    outputs: dict[str, bool] = {}
    for each in asked if isinstance(asked, list) else [asked]:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or name not in there or name in outputs:
            raise RefusedError(400, "The request asks for other outputs", expected=f"{', '.join(there)}, each once")
        outputs[name] = _flag(each, "binary_data", all_binary)
    return Wish(outputs, str(document["id"])[:200] if "id" in document else None)


def _flag(holder: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    parameters = holder.get("parameters")
    return bool(parameters.get(name, otherwise)) if isinstance(parameters, dict) else otherwise


def answered(name: str, version: str, wish: Wish, outputs: Mapping[str, NDArray[Any]]) -> Response:
    """The answer with the outputs that the request asked for."""
    described, raw = [], b""
    for output, binary in wish.outputs.items():
        array = outputs[output]
        entry: dict[str, Any] = {"name": output, "datatype": _NAMES[array.dtype], "shape": list(array.shape)}
        if binary:
            content = array.tobytes()
            entry["parameters"] = {"binary_data_size": len(content)}
            raw += content
        else:
            entry["data"] = array.ravel().tolist()
        described.append(entry)
    answer = {"model_name": name, "model_version": version, "outputs": described}
    if wish.id is not None:
        answer["id"] = wish.id
    if not raw:
        return JSONResponse(answer)
    text = json.dumps(answer).encode()
    return Response(text + raw, media_type="application/octet-stream", headers={HEADER: str(len(text))})
