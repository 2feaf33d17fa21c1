"""Tensors inside a graph, made outputs: what nodes compute on their way, in the reference and in a backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....errors import BackendError
from ...backends.base import Backend
from .plain_backend import PlainBackend

if TYPE_CHECKING:
    from onnxruntime import SessionOptions

Arrays = Mapping[str, NDArray[Any]]

#: What is brought out of a graph at once: the rest is computed again in the next round.
MAX_TENSORS, MAX_BYTES = 48, 256 << 20


@dataclass(frozen=True)
class Node:
    """A node of a graph: its name, operator, the tensors that it reads, and the first that it writes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    bytes: int


def nodes_of(path: Path) -> list[Node]:
    """The nodes of a graph that compute numbers, in the order in which they are computed."""
    import onnx

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    graph = onnx.load(path, load_external_data=False).graph
    types = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
    found = []
    for node in graph.node:
        tensor = types.get(node.output[0])
        if tensor is None or tensor.elem_type in floats:
            # A free axis is a batch of one.
            size = prod(dim.dim_value or 1 for dim in tensor.shape.dim) if tensor is not None else 1
            found.append(Node(node.name, node.op_type, tuple(node.input), node.output[0], 4 * size))
    return found


def chunks(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes in pieces, each small enough to be brought out at once."""
    pieces: list[list[Node]] = [[]]
    for node in nodes:
        full = len(pieces[-1]) == MAX_TENSORS or sum(each.bytes for each in pieces[-1]) + node.bytes > MAX_BYTES
        if pieces[-1] and full:
            pieces.append([])
        pieces[-1].append(node)
    return pieces


def expose(backend: Backend, path: Path, stage: str, names: Sequence[str], inputs: Arrays) -> Arrays:
    """Run a backend's graph and bring out tensors inside it; those that the backend does not have are left out.

    Raises:
        BackendError: the backend is not one on the CPU, or cannot run the changed graph.
    """
    from ...backends.onnx_session import session_options

    if isinstance(backend, PlainBackend):
        return _in_onnxruntime(path, stage, names, inputs, session_options(plain=True))
    if backend.name == "onnxruntime":
        from ...backends.onnxruntime import OnnxRuntimeBackend

        assert isinstance(backend, OnnxRuntimeBackend)
        return _in_onnxruntime(path, stage, names, inputs, backend.sessions.options())
    if backend.name == "openvino":
        from ...backends.openvino import PRODUCTS, OpenVinoBackend

        assert isinstance(backend, OpenVinoBackend)
        if stage in PRODUCTS:
            return _in_onnxruntime(path, stage, names, inputs, backend.products.options())
        try:
            return backend.expose(stage, names, inputs)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO cannot bring out the tensors of {stage}", got=str(error)[:400]) from error
    raise BackendError(f"The nodes of {backend.name} cannot be looked at", expected="a backend on the CPU")


def _in_onnxruntime(
    path: Path, stage: str, names: Sequence[str], inputs: Arrays, options: "SessionOptions"
) -> dict[str, NDArray[Any]]:
    import onnx

    from ...backends.onnx_session import open_session

    model = onnx.load(path, load_external_data=False)
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    session = open_session(model.SerializeToString(), options, name=stage, folder=path.parent)
    wanted = {value.name for value in session.get_inputs()}
    try:
        outputs = session.run(list(names), {name: array for name, array in inputs.items() if name in wanted})
    except Exception as error:  # as in `open_session`
        raise BackendError(f"ONNX Runtime cannot bring out the tensors of {stage}", got=str(error)[:400]) from error
    return {name: np.asarray(array) for name, array in zip(names, outputs, strict=True)}
