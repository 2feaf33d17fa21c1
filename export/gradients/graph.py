"""Gradient graphs as the exporter takes them, Adam's update, and how a gradient is checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...runtime.methods.optimisation import BETAS, RATES
from ..graphs import Graph
from .tracing import Objective, exact_outputs, trace_gradient


@dataclass(frozen=True)
class GradientGraph(Graph):
    """A traced objective; it is compared in norm with what autograd gives for ``objective`` in float64.

    An activation near 0 may fall to either side of it, so that single entries of a gradient jump: the largest
    difference says nothing.
    """

    objective: Objective

    def expected(self) -> list[Tensor]:
        """What it should give for its sample inputs, float64."""
        found = exact_outputs(self.objective, dict(zip(self.inputs, self.args[0], strict=True)))
        return [found[name] for name in self.outputs]


def gradient_graph(
    name: str, objective: Objective, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> GradientGraph:
    """Trace an objective on sample inputs; its outputs come in the order asked for."""
    traced = trace_gradient(objective, inputs)
    places = [traced.outputs.index(output) for output in outputs]
    module = Ordered(traced.module, places)
    args = list(inputs.values())
    return GradientGraph(name, module, (args,), ([None] * len(args),), tuple(inputs), tuple(outputs), objective)


class Ordered(nn.Module):
    """A module's outputs, some of them, in another order."""

    def __init__(self, inner: nn.Module, places: Sequence[int]) -> None:
        super().__init__()
        self.inner, self.places = inner, tuple(places)

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        found = self.inner(*inputs)
        return tuple(found[place] for place in self.places)


class AdamStep(nn.Module):
    """One update of one variable, as ``Arithmetic.adam`` has it: what devices run in place of NumPy."""

    def forward(
        self, value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rates: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        first = first * BETAS[0] + gradient * (1 - BETAS[0])
        second = second * BETAS[1] + gradient * gradient * (1 - BETAS[1])
        return value - rates[:1] * first / (second.sqrt() + rates[1:]), first, second


def adam_graph(variable: str, shape: Sequence[int]) -> Graph:
    """The graph `adam_<variable>`."""
    generate = torch.Generator().manual_seed(0)
    value, gradient, first = (torch.randn(*shape, generator=generate) for _ in range(3))
    second = torch.rand(*shape, generator=generate)
    names = ("value", "gradient", "first", "second", RATES)
    args = (value, gradient, first, second, torch.tensor([0.01, 1e-8]))
    outputs = ("value_after", "first_after", "second_after")
    return Graph(f"adam_{variable}", AdamStep(), args, (None,) * len(args), names, outputs)


def lengths(tensors: Sequence[Tensor]) -> Tensor:
    """The length of each tensor, [K]: not finite if one of its numbers is not."""
    return torch.stack([tensor.flatten().dot(tensor.flatten()).sqrt() for tensor in tensors])
