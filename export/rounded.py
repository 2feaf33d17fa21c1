"""16-bit graphs on the CPU as a GPU computes them: every node in float32, every result rounded to 16 bits.

A CPU has no kernels for most operators in 16 bits. ONNX Runtime runs FP16 graphs all the same, but whole chains of
nodes in float32, so that nothing between them is rounded and nothing overflows; bfloat16 graphs it refuses. Here every
result is cast down and up again. What passes FP16's 65504 becomes Inf, as on a GPU that accumulates in float32.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..runtime.backends.host import HostBackend
from ..runtime.backends.onnx_session import open_session, session_options
from ..runtime.bundle.reader import Bundle
from ..runtime.methods.base import Array

_FLOAT = onnx.TensorProto.FLOAT
_NARROW = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
#: They move values without changing them.
_MOVES = frozenset({"Reshape", "Transpose", "Split", "Gather", "GatherND", "Unsqueeze", "Expand", "Identity", "Concat"})


class RoundedGraph:
    """A graph of a bundle, its inputs and outputs float32; those of 16 bits hold 16-bit values.

    With ``watch``, ``peaks`` has the largest magnitude of every 16-bit tensor over all runs, NaN if not all was finite.
    """

    def __init__(self, path: Path, watch: bool = False) -> None:
        model = onnx.load(path, load_external_data=False)
        self._outputs = [value.name for value in model.graph.output]
        self._watched = _round(model.graph, watch)
        self.peaks: dict[str, float] = {}
        # Optimizers could take two casts for nothing.
        options = session_options(plain=True)
        self._session = open_session(model.SerializeToString(), options, name=path.name, folder=path.parent)

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Run the graph; its outputs in order."""
        peaks = [f"peak.{name}" for name in self._watched]
        outputs = self._session.run([*self._outputs, *peaks], dict(inputs))
        for name, peak in zip(self._watched, outputs[len(self._outputs) :], strict=True):
            self.peaks[name] = float(np.maximum(self.peaks.get(name, 0.0), peak))  # np.maximum keeps NaN
        return outputs[: len(self._outputs)]


class RoundedBackend(HostBackend):
    """The refinement loop on rounded graphs, for checks: much slower than a backend to use."""

    name = "rounded"

    def __init__(self, bundle: Bundle, watch: bool = False) -> None:
        super().__init__(bundle)
        self._watch = watch
        self.constants = {name: _as_float32(array) for name, array in self.constants.items()}
        self.graphs: dict[str, RoundedGraph] = {}

    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        if graph not in self.graphs:
            self.graphs[graph] = RoundedGraph(self.bundle.graph(graph), self._watch)
        return self.graphs[graph].run(inputs)


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """A constant as the bundle gives it; uint16 stands for the bits of bfloat16, the upper half of float32's."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def _round(graph: onnx.GraphProto, watch: bool) -> list[str]:
    """Make every 16-bit tensor of the graph a float32 one of the same name that holds 16-bit values.

    Returns:
        Names of the tensors that were rounded and are watched, in the order in which they are computed.
    """
    values = (*graph.input, *graph.output, *graph.value_info)
    dtypes = {value.name: value.type.tensor_type.elem_type for value in values}
    nodes: list[onnx.NodeProto] = []
    watched: list[str] = []
    for constant in graph.initializer:
        if constant.data_type in _NARROW:
            wide, constant.name = constant.name, f"{constant.name}.narrow"
            nodes.append(helper.make_node("Cast", [constant.name], [wide], to=_FLOAT))
    for node in graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            dtype = dtypes.get(name)
            if dtype not in _NARROW or node.op_type in _MOVES:
                continue
            narrow = f"{name}.narrow"
            if node.op_type == "Cast":
                node.output[index] = narrow
            else:
                node.output[index] = f"{name}.exact"
                nodes.append(helper.make_node("Cast", [node.output[index]], [narrow], to=dtype))
            nodes.append(helper.make_node("Cast", [narrow], [name], to=_FLOAT))
            if watch:
                nodes += _peak(name)
                graph.output.append(helper.make_tensor_value_info(f"peak.{name}", _FLOAT, []))
                watched.append(name)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = _FLOAT
    return watched


def _peak(name: str) -> list[onnx.NodeProto]:
    """``max |x| + sum(x - x)``: a maximum may pass over NaN, and Inf - Inf does not."""
    return [
        helper.make_node("Abs", [name], [f"{name}.magnitude"]),
        helper.make_node("ReduceMax", [f"{name}.magnitude"], [f"{name}.largest"], keepdims=0),
        helper.make_node("Sub", [name, name], [f"{name}.zeros"]),
        helper.make_node("ReduceSum", [f"{name}.zeros"], [f"{name}.zero"], keepdims=0),
        helper.make_node("Add", [f"{name}.largest", f"{name}.zero"], [f"peak.{name}"]),
    ]
