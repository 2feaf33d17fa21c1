"""Q/DQ nodes where TensorRT fuses them: in front of convolutions, and behind constants; nothing else of a graph changes.

Convolutions get their input and their weights quantized and give float32: so what follows (PReLU, ReLU, the sum with
the shortcut) is computed in full precision, inside the convolution's kernel where the library can. The Q stands directly
behind what makes a tensor, so that it is that kernel's end, and once a tensor, so that convolutions that share an input
share its bytes. Biases stay float32. Matrices get a DQ alone: weights in 8 bits, arithmetic as the library has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import CalibrationError
from .formats import Format
from .stage_graph import Constant, StageGraph, attribute

#: Rows of a matrix that are quantized at once.
_ROWS = 1 << 15


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
    _done: dict[Constant, tuple[str, NDArray[np.generic], NDArray[np.float32]]] = field(default_factory=dict)

    def convolution(self, graph: StageGraph, name: str) -> tuple[str, NDArray[np.generic], NDArray[np.float32]]:
        """A convolution's weights: name, q [out, in, k, k] and scales [out]."""
        return self._once(graph, name, lambda weight: self._per_row(weight.reshape(len(weight), -1), weight.shape))

    def matrix(
        self, graph: StageGraph, name: str, transposed: bool
    ) -> tuple[str, NDArray[np.generic], NDArray[np.float32]]:
        """A matrix as the right side of a product: name, q [in, out] and scales [out]."""

        def work(weight: NDArray[np.float32]) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
            rows = weight if transposed else weight.T
            quantized, scales = self._per_row(rows, rows.shape)
            return np.ascontiguousarray(quantized.T), scales

        return self._once(graph, name, work)

    def _once(
        self, graph: StageGraph, name: str, work: "object"
    ) -> tuple[str, NDArray[np.generic], NDArray[np.float32]]:
        where = graph.constant(name)
        if where is None:
            raise CalibrationError(f"A weight of {graph.stage} is kept inside its graph", got=name)
        if where not in self._done:
            self._done[where] = (name, *work(graph.array(name)))  # type: ignore[operator]
        return self._done[where]

    def _per_row(
        self, rows: NDArray[np.float32], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
        quantized = np.empty(rows.shape, self.form.dtype)
        scales = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _ROWS):
            part = np.ascontiguousarray(rows[start : start + _ROWS])
            scale = self.form.scale(np.abs(part).max(1))
            scales[start : start + _ROWS] = scale
            quantized[start : start + _ROWS] = self.form.quantize(part, scale[:, None])
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

    def run(self) -> Quantized:
        model = self._result.model
        convolutions = {node.output[0] for node in self._graph.convolutions()}
        products = {node.output[0]: name for node, name in self._graph.products(0)}
        for node in list(model.graph.node):
            if node.output[0] in convolutions and self._is_chosen(node.input[1]):
                self._convolution(node)
            elif node.output[0] in products and self._is_chosen(products[node.output[0]]):
                self._product(node, products[node.output[0]])
            else:
                self._nodes.append(node)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        _drop_unused(model)
        return self._result

    def _is_chosen(self, name: str) -> bool:
        return self._graph.constant(name) in self._chosen

    def _convolution(self, node: onnx.NodeProto) -> None:
        name, quantized, scales = self._weights.convolution(self._graph, node.input[1])
        node.input[0] = self._activation(node.input[0])
        node.input[1] = self._dequantized(name, quantized, scales, axis=0)
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

    def _dequantized(
        self, name: str, quantized: NDArray[np.generic], scales: NDArray[np.float32], axis: int
    ) -> str:
        kept = f"{name}.{self._form.name}"
        if kept not in self._result.constants:
            self._result.constants[kept] = quantized
            self._result.constants[f"{kept}.scale"] = scales
        made = f"{kept}.dq"
        if not any(made in node.output for node in self._nodes):
            inputs = [kept, f"{kept}.scale"]
            self._nodes.append(helper.make_node("DequantizeLinear", inputs, [made], f"{name}/dequantize", axis=axis))
        return made

    def _product(self, node: onnx.NodeProto, name: str) -> None:
        """``alpha A B + C`` with one side constant, as a product with the constant on the right, and a sum."""
        left_constant = node.input[0] == name
        turned = bool(attribute(node, "transA" if left_constant else "transB", 0))
        # The right side is [in, out], rows of outputs are what is scaled: a left side counts as its own transpose.
        kept, quantized, scales = self._weights.matrix(self._graph, name, transposed=turned != left_constant)
        alpha = next((a.f for a in node.attribute if a.name == "alpha"), 1.0)
        beta = next((a.f for a in node.attribute if a.name == "beta"), 1.0)
        if alpha != 1.0 or beta != 1.0:
            raise CalibrationError(f"A product of {self._graph.stage} has factors", got=node.name)
        right = self._dequantized(kept, quantized, scales, axis=1)
        other = node.input[1 if left_constant else 0]
        other_turned = bool(attribute(node, "transB" if left_constant else "transA", 0))
        result = node.output[0]
        if other_turned != left_constant:
            other = self._transpose(other, f"{result}.left")
        has_bias = node.op_type == "Gemm" and len(node.input) > 2 and bool(node.input[2])
        product = f"{result}.product" if has_bias or left_constant else result
        self._nodes.append(helper.make_node("MatMul", [other, right], [product], f"{node.name}/product"))
        if left_constant:
            product = self._transpose(product, f"{result}.turned" if has_bias else result)
        if has_bias:
            self._nodes.append(helper.make_node("Add", [product, node.input[2]], [result], f"{node.name}/bias"))

    def _transpose(self, tensor: str, result: str) -> str:
        self._nodes.append(helper.make_node("Transpose", [tensor], [result], f"{result}/transpose", perm=[1, 0]))
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
