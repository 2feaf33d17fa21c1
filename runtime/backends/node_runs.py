"""One node of one run of a graph, as the library that ran it tells; its arithmetic follows from the shapes."""

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]

# What libraries call the same operator.
_CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger", "Convolution", "GroupConvolution")
_TRANSPOSED = (
    "ConvTranspose",
    "Deconvolution",
    "GroupDeconvolution",
    "ConvolutionBackpropData",
    "GroupConvolutionBackpropData",
)
_PRODUCTS = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "FullyConnected", "MatMulNBits", "DynamicQuantizeMatMul")


@dataclass(frozen=True)
class NodeRun:
    """One node of one run of a graph: an operator, or several that a library runs as one.

    Attributes:
        stage: the graph.
        run: the how-manieth run of that graph, from 0.
        name: the library's name of the node, mostly that of the graph's node.
        operator: what it computes, in the library's words.
        seconds: how long it took.
        inputs: shapes of what it read, as far as the library tells; a constant that was packed at load is missing.
        outputs: shapes of what it wrote.
        bytes: bytes of these inputs and outputs, each once.
    """

    stage: str
    run: int
    name: str
    operator: str
    seconds: float
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    bytes: int = 0

    @property
    def flops(self) -> int:
        """Two per multiply-accumulate of a convolution or matrix product; 0 for everything else, and where unknown."""
        if not self.inputs or not self.outputs or not self.outputs[0]:
            return 0
        if self.operator in _CONVOLUTIONS:
            return convolution_flops(self.inputs, self.outputs[0])
        if self.operator in _TRANSPOSED:
            return transposed_flops(self.inputs, self.outputs[0])
        return product_flops(self.inputs[0], self.outputs[0]) if self.operator in _PRODUCTS else 0


def convolution_flops(inputs: tuple[Shape, ...], output: Shape) -> int:
    """A kernel [out, in / groups, k, k], or [groups, out / groups, in / groups, k, k], times every output."""
    if len(inputs) < 2 or len(inputs[1]) < len(output):
        return 0
    taps = len(output) - 2
    return 2 * prod(output) * inputs[1][-taps - 1] * prod(inputs[1][-taps:])


def transposed_flops(inputs: tuple[Shape, ...], output: Shape) -> int:
    """Every input times a kernel [in, out / groups, k, k], or [groups, in / groups, out / groups, k, k]."""
    if len(inputs) < 2 or len(inputs[1]) < len(output):
        return 0
    taps = len(output) - 2
    kernel = inputs[1]
    groups = kernel[0] if len(kernel) > len(output) else max(output[1] // kernel[1], 1)
    return 2 * prod(inputs[0]) * (output[1] // groups) * prod(kernel[-taps:])


def product_flops(left: Shape, output: Shape) -> int:
    """[..., M, K] times [K, N]; the left factor may be stored transposed, and the right one may be unknown."""
    if not left:
        return 0
    rows = output[-2] if len(output) > 1 else 1
    shared = left[-1] if len(left) < 2 or left[-1] != rows or left[-2] == rows else left[-2]
    return 2 * prod(output) * shared
