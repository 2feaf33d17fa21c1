"""Trace the gradient of a loss, forward and backward, to a module that exports like any other stage."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from .backward import backward_rules

Tensors: TypeAlias = dict[str, Tensor]


class Objective(nn.Module):
    """A loss and what comes with it. ``variables`` name the inputs that gradients are taken with respect to.

    ``forward`` maps named tensors to the scalar that is minimised and to named tensors that are given out beside it;
    ``finish`` makes of the gradients what is given out.
    """

    variables: tuple[str, ...]

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        raise NotImplementedError

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        """Gradients by variable, and the other inputs, to outputs."""
        raise NotImplementedError


@dataclass(frozen=True)
class Traced:
    """A traced objective: the module takes inputs in their order and gives its outputs in theirs."""

    module: nn.Module
    outputs: tuple[str, ...]


def trace_gradient(objective: Objective, inputs: Mapping[str, Tensor]) -> Traced:
    """Trace forward and backward on sample inputs, which fix every shape."""
    objective.eval().requires_grad_(False)
    names = tuple(inputs)
    outputs: list[str] = []

    def step(*tensors: Tensor) -> list[Tensor]:
        found = evaluate(objective, dict(zip(names, tensors, strict=True)), _functional_gradients)
        outputs[:] = found
        return list(found.values())

    module = make_fx(step, backward_rules())(*inputs.values())
    module.graph.eliminate_dead_code()
    module.recompile()
    return Traced(module.eval(), tuple(outputs))


def exact_outputs(objective: Objective, inputs: Mapping[str, Tensor]) -> Tensors:
    """What the traced objective should give, by PyTorch's own autograd in float64."""
    exact = deepcopy(objective).double()
    doubled = {name: tensor.double() for name, tensor in inputs.items()}
    return evaluate(exact, doubled, _autograd)


#: An objective and its inputs to the gradients by variable, and what is given out beside them.
Differentiated: TypeAlias = Callable[[Objective, Tensors], tuple[Tensors, Tensors]]


def evaluate(objective: Objective, inputs: Tensors, differentiated: Differentiated) -> Tensors:
    """All outputs of an objective."""
    gradients, beside = differentiated(objective, inputs)
    return {**objective.finish(gradients, inputs), **beside}


def _functional_gradients(objective: Objective, inputs: Tensors) -> tuple[Tensors, Tensors]:
    fixed = {name: tensor for name, tensor in inputs.items() if name not in objective.variables}

    def loss(variables: Tensors) -> tuple[Tensor, Tensors]:
        # In the order in which they came.
        return objective({name: variables.get(name, fixed.get(name)) for name in inputs})

    gradients: Any = torch.func.grad(loss, has_aux=True)({name: inputs[name] for name in objective.variables})
    return gradients


def _autograd(objective: Objective, inputs: Tensors) -> tuple[Tensors, Tensors]:
    variables = {name: inputs[name].clone().requires_grad_() for name in objective.variables}
    with torch.enable_grad():
        loss, beside = objective({**inputs, **variables})
        found = torch.autograd.grad(loss, list(variables.values()))
    return dict(zip(variables, found, strict=True)), {name: tensor.detach() for name, tensor in beside.items()}
