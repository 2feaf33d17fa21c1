"""Q/DQ nodes where TensorRT fuses them, in front of convolutions and behind constants; nothing else changes.

Convolutions get their input and their weights quantized and give float32: so what follows (PReLU, ReLU, the sum with
the shortcut) is computed in full precision, inside the convolution's kernel where the library can. The Q stands right
behind what makes a tensor, so that it is that kernel's end, and once a tensor, so that convolutions that share an
input share its bytes. Biases stay float32.

Matrices of `offsets` and `weights` are INT8 in either format. They get a DQ alone: weights in 8 bits, arithmetic as
the library has it. ONNX Runtime makes DequantizeLinear and MatMul one node that reads 8 bits. That is fast for one
row. For the nine of the product with w2 and the hundreds of that with w1 its INT8 arithmetic is faster, two and three
times: so `weights`, which runs there alone, has those products with a left side that is quantized at run time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import CalibrationError
from .formats import INT8, Format
from .stage_graph import Constant, StageGraph, attribute

#: Rows of a matrix that are quantized at once.
_ROWS = 1 << 15
#: From this many rows on, ONNX Runtime's INT8 product pays for quantizing its left side.
_SEVERAL = 2

_Pair: TypeAlias = tuple[NDArray[np.generic], NDArray[np.float32]]
_Named: TypeAlias = tuple[str, NDArray[np.generic], NDArray[np.float32]]


@dataclass
class Quantized:
    """A graph with Q/DQ nodes, and the new constants it needs, by name."""

    model: onnx.ModelProto
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)


@dataclass
class Weights:
    """Quantized weights by where their float32 ones are kept, so that graphs that share them share the result.

    A weight is ``scale * q``, a scale a channel: convolutions [out, in, k, k] have a scale an output map (axis 0),
    matrices are stored as the right side of a product, [in, out], with a scale an output (axis 1).
    """

    form: Format
    _done: dict[Constant, _Named] = field(default_factory=dict)

    def convolution(self, graph: StageGraph, name: str) -> _Named:
        """A convolution's weights: name, q [out, in, k, k] and scales [out]."""

        def work(weight: NDArray[np.float32]) -> _Pair:
            return _per_row(weight.reshape(len(weight), -1), weight.shape, self.form)

        return self._once(graph, name, work)

    def matrix(self, graph: StageGraph, name: str, transposed: bool) -> _Named:
        """A matrix as the right side of a product: name, q [in, out] and scales [out]."""

        def work(weight: NDArray[np.float32]) -> _Pair:
            rows = weight if transposed else weight.T
            quantized, scales = _per_row(rows, rows.shape, INT8)
            return np.ascontiguousarray(quantized.T), scales

        return self._once(graph, name, work)

    def _once(self, graph: StageGraph, name: str, work: Callable[[NDArray[np.float32]], _Pair]) -> _Named:
        where = graph.constant(name)
        if where is None:
            raise CalibrationError(f"A weight of {graph.stage} is kept inside its graph", got=name)
        if where not in self._done:
            self._done[where] = (name, *work(graph.array(name)))
        return self._done[where]


def _per_row(rows: NDArray[np.float32], shape: tuple[int, ...], form: Format) -> _Pair:
    quantized: NDArray[Any] = np.empty(rows.shape, form.dtype)
    scales = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = np.ascontiguousarray(rows[start : start + _ROWS])
        scale = form.scale(np.abs(part).max(1))
        scales[start : start + _ROWS] = scale
        quantized[start : start + _ROWS] = form.quantize(part, scale[:, None])
    return quantized.reshape(shape), scales


def quantize(
    graph: StageGraph, chosen: Iterable[Constant], thresholds: Mapping[str, float], weights: Weights
) -> Quantized:
    """A copy of a graph with the layers quantized whose weights are ``chosen``.

    Args:
        graph: of a float32 bundle.
        chosen: where the weights are kept; those of other graphs do no harm.
        thresholds: of every tensor that a chosen convolution reads.
        weights: what was quantized before for other graphs of the bundle is taken from there.
    """
    return _Edit(graph, frozenset(chosen), thresholds, weights).run()


class _Edit:
    """One graph on its way: nodes are appended in order, each after what it reads."""

    def __init__(
        self, graph: StageGraph, chosen: frozenset[Constant], thresholds: Mapping[str, float], weights: Weights
    ) -> None:
        self._graph, self._chosen, self._thresholds, self._weights = graph, chosen, thresholds, weights
        self._form = weights.form
        self._result = Quantized(graph.copy())
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: dict[str, str] = {}
        self._products: set[str] = set()  # quantized ones, and what is only another view of them

    def run(self) -> Quantized:
        model = self._result.model
        convolutions = {node.output[0] for node in self._graph.convolutions()}
        products = {node.output[0]: name for node, name in self._graph.products()}
        for node in list(model.graph.node):
            if node.output[0] in convolutions and self._is_chosen(node.input[1]):
                self._convolution(node)
            elif node.output[0] in products and self._is_chosen(products[node.output[0]]):
                self._product(node, products[node.output[0]])
            else:
                self._other(node)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        _drop_unused(model)
        return self._result

    def _is_chosen(self, name: str) -> bool:
        return self._graph.constant(name) in self._chosen

    def _other(self, node: onnx.NodeProto) -> None:
        if not self._products.isdisjoint(node.input):
            if node.op_type in ("Transpose", "Reshape"):
                self._products.add(node.output[0])
            elif node.op_type == "Add":
                node.op_type = "Sum"  # as in `_product`
        self._nodes.append(node)

    def _convolution(self, node: onnx.NodeProto) -> None:
        name, quantized, scales = self._weights.convolution(self._graph, node.input[1])
        node.input[0] = self._activation(node.input[0])
        node.input[1] = self._dequantized(self._keep(name, self._form, quantized, scales), axis=0)
        self._nodes.append(node)

    def _activation(self, tensor: str) -> str:
        """Q and DQ behind a tensor, the same for all that read it."""
        if tensor not in self._inputs:
            if tensor not in self._thresholds:
                raise CalibrationError(f"A tensor of {self._graph.stage} has no range", got=tensor)
            scale, zero = f"{tensor}.scale", f"{tensor}.zero"
            self._small(scale, self._form.scale(self._thresholds[tensor]))
            self._small(zero, np.zeros((), self._form.dtype))
            self._nodes += [
                helper.make_node("QuantizeLinear", [tensor, scale, zero], [f"{tensor}.q"], f"{tensor}/quantize"),
                helper.make_node(
                    "DequantizeLinear", [f"{tensor}.q", scale, zero], [f"{tensor}.dq"], f"{tensor}/dequantize"
                ),
            ]
            self._inputs[tensor] = f"{tensor}.dq"
        return self._inputs[tensor]

    def _keep(self, name: str, form: Format, quantized: NDArray[np.generic], scales: NDArray[np.float32]) -> str:
        kept = f"{name}.{form.name}"
        self._result.constants[kept] = quantized
        self._result.constants[f"{kept}.scale"] = scales
        return kept

    def _dequantized(self, kept: str, axis: int) -> str:
        """DQ behind a constant, once."""
        made = f"{kept}.dq"
        if not any(made in node.output for node in self._nodes):
            self._node("DequantizeLinear", [kept, f"{kept}.scale"], made, axis=axis)
        return made

    def _product(self, node: onnx.NodeProto, name: str) -> None:
        """``A B + C`` with one side constant, as a product with the constant on the right, and a sum."""
        if any(entry.f != 1.0 for entry in node.attribute if entry.name in ("alpha", "beta")):
            raise CalibrationError(f"A product of {self._graph.stage} has factors", got=node.name)
        left = node.input[0] == name
        turned, other_turned = (
            bool(attribute(node, key, 0)) for key in (("transA", "transB") if left else ("transB", "transA"))
        )
        # The right side is [in, out], rows of outputs are what is scaled: a left side counts as its own transpose.
        weight, quantized, scales = self._weights.matrix(self._graph, name, transposed=turned != left)
        kept = self._keep(weight, INT8, quantized, scales)
        other, result = node.input[1 if left else 0], node.output[0]
        turn = other_turned != left
        rows = self._graph.size(other, axis=1 if turn else 0)
        if turn:
            other = self._node("Transpose", [other], f"{result}.left", perm=[1, 0])
        integer = self._graph.stage == "weights" and rows is not None and rows >= _SEVERAL
        if integer:
            product = self._integer_product(other, kept, f"{result}.product")
        else:
            product = self._node("MatMul", [other, self._dequantized(kept, axis=1)], f"{result}.product")
        if node.op_type == "Gemm" and len(node.input) > 2:
            bias = self._row(node.input[2], result) if left else node.input[2]
            # ONNX Runtime makes Add a part of an integer product; with MatMul it is a Gemm, which takes no DQ.
            product = self._node("Add" if integer else "Sum", [product, bias], f"{result}.sum")
        elif not integer:
            self._products.add(result)
        if left:
            self._node("Transpose", [product], result, perm=[1, 0])
        self._nodes[-1].output[0] = result

    def _row(self, bias: str, result: str) -> str:
        """A Gemm's bias [m, 1] for the transposed product: [m]."""
        if self._graph.size(bias, axis=1) != 1:
            raise CalibrationError(f"A bias of {self._graph.stage} is no column", got=bias)
        shape = f"{result}.row"
        self._small(shape, np.array([-1], np.int64))
        return self._node("Reshape", [bias, shape], f"{result}.bias")

    def _integer_product(self, left: str, kept: str, result: str) -> str:
        """``(s_left s_right) (q_left - zero_left) q_right``: ONNX Runtime runs these nodes as one."""
        quantized, scale, zero = f"{result}.left.q", f"{result}.left.scale", f"{result}.left.zero"
        self._nodes.append(
            helper.make_node("DynamicQuantizeLinear", [left], [quantized, scale, zero], f"{result}/quantize")
        )
        integers = self._node("MatMulInteger", [quantized, kept, zero], f"{result}.integers")
        numbers = self._node("Cast", [integers], f"{result}.numbers", to=onnx.TensorProto.FLOAT)
        scales = self._node("Mul", [scale, f"{kept}.scale"], f"{result}.scales")
        return self._node("Mul", [numbers, scales], result)

    def _node(self, kind: str, inputs: list[str], result: str, **attributes: object) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [result], f"{result}/{kind.lower()}", **attributes))
        return result

    def _small(self, name: str, value: NDArray[np.generic]) -> None:
        self._result.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _drop_unused(model: onnx.ModelProto) -> None:
    """Leave out constants that no node reads any more, and shapes of tensors that are gone."""
    read = {name for node in model.graph.node for name in node.input}
    made = {name for node in model.graph.node for name in node.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    shapes = [value for value in model.graph.value_info if value.name in made]
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.initializer.extend(kept)
    model.graph.value_info.extend(shapes)
