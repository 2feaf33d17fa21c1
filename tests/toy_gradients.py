"""Gradient graphs of a few nodes: a bowl around the target's mean, whose descent can be written down."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from hyperstyle_deploy.runtime.methods.base import Signature

#: Adds a node: operator, inputs, output, attributes; returns the output.
Add = Callable[..., str]
#: Adds a constant: name, array, type; returns the name.
Constant = Callable[..., str]


def bowl(signature: Signature, add: Add, constant: Constant) -> None:
    """``loss.mse = mean((v - mean(target) - mean(others))^2)`` of the first variable v, of the second `loss.noise`.

    The gradient of each is ``weight * (v - ...)``, and the lengths that are told are those of the first one. A term
    without a variable is the first term times its weight.
    """
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    variables = [name.removeprefix("gradient.") for name in outputs if name.startswith("gradient.")]
    terms = [name.removeprefix("loss.") for name in outputs if name.startswith("loss.")]
    others = [tensor for tensor in signature.inputs if not tensor.name.startswith("loss_weight.")]
    weights = {t.name.rpartition(".")[2]: t.name for t in signature.inputs if t.name.startswith("loss_weight.")}
    means = [add("ReduceMean", [t.name], f"mean.{t.name}", keepdims=0) for t in others if t.name not in variables]
    centre = add("Sum", means, "centre")
    for variable, term in zip(variables, terms, strict=False):
        away = add("Sub", [variable, centre], f"away.{variable}")
        add("Mul", [away, weights[term]], f"gradient.{variable}")
        square = add("ReduceSumSquare", [away], f"square.{variable}", keepdims=0)
        count = constant(f"count.{variable}", [prod(map(int, outputs[f"gradient.{variable}"].shape))])
        add("Div", [square, count], f"loss.{term}")
    for term in terms[len(variables) :]:
        add("Mul", [f"loss.{terms[0]}", weights[term]], f"loss.{term}")
    length = add("ReduceL2", [f"gradient.{variables[0]}"], "length", keepdims=0)
    add("Mul", [length, constant("lengths", np.ones(outputs["norms"].shape))], "norms")
    bounded = add("Tanh", [add("ReduceMean", [variables[0]], f"mean.{variables[0]}", keepdims=0)], "bounded")
    add("Mul", [bounded, constant("picture", np.ones(outputs["reconstruction"].shape))], "reconstruction")


def settled(signature: Signature, add: Add, constant: Constant) -> None:
    """Noises less their mean; and each layer's own, as they came."""
    (noises,), (flat, *layers) = signature.inputs, signature.outputs
    mean = add("ReduceMean", [noises.name], "mean")
    add("Sub", [noises.name, mean], flat.name)
    parts = [f"part.{layer.name}" for layer in layers]
    sizes = constant("sizes", [prod(map(int, layer.shape)) for layer in layers], np.int64)
    add("Split", [noises.name, sizes], parts, axis=1)
    for part, layer in zip(parts, layers, strict=True):
        add("Reshape", [part, constant(f"shape.{layer.name}", layer.shape, np.int64)], layer.name)


def adam(signature: Signature, add: Add, constant: Constant) -> None:
    """The update as its formula stands."""

    def decayed(moment: str, new: str, beta: float) -> str:
        old = add("Mul", [moment, constant(f"beta.{moment}", [beta])], f"old.{moment}")
        part = add("Mul", [new, constant(f"rest.{moment}", [1 - beta])], f"new.{moment}")
        return add("Add", [old, part], f"{moment}_after")

    first = decayed("first", "gradient", 0.9)
    second = decayed("second", add("Mul", ["gradient", "gradient"], "squared"), 0.999)
    add("Split", ["rates"], ["size", "epsilon"], axis=0, num_outputs=2)
    root = add("Add", [add("Sqrt", [second], "root"), "epsilon"], "divisor")
    step = add("Mul", [add("Div", [first, root], "direction"), "size"], "step")
    add("Sub", ["value", step], "value_after")


def start(signature: Signature, add: Add, constant: Constant) -> None:
    """Every difference is the mean offset code, times the steps."""
    codes, steps = (tensor.name for tensor in signature.inputs)
    mean = add("Mul", [add("ReduceMean", [codes], "mean", keepdims=0), steps], "each")
    add("Mul", [mean, constant("row", np.ones(signature.outputs[0].shape))], signature.outputs[0].name)


def near(signature: Signature, add: Add, constant: Constant) -> None:
    """The gradient is ``weight * differences``, the loss their mean square, plus nothing of codes and latents."""
    differences, codes, latent, weight = (tensor.name for tensor in signature.inputs)
    gradient, loss = (tensor.name for tensor in signature.outputs)
    add("Mul", [differences, weight], gradient)
    sums = [
        add("ReduceSum", [add("Sub", [name, name], f"no.{name}")], f"zero.{name}", keepdims=0)
        for name in (codes, latent)
    ]
    mean = add("ReduceMean", [add("Mul", [differences, differences], "squares")], "mean", keepdims=0)
    add("Reshape", [add("Sum", [mean, *sums], "sum"), constant("one", [1], np.int64)], loss)


def makers(name: str) -> Callable[[Signature, Add, Constant], Any] | None:
    """What makes the graph of an optimisation; None for other graphs."""
    if name.startswith("adam_"):
        return adam
    return {
        "projection_gradient": bowl,
        "projection_noises": settled,
        "pti_gradient": bowl,
        "idinvert_gradient": bowl,
        "pti_start": start,
        "pti_locality": near,
    }.get(name)
