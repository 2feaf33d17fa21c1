"""The bundle's graphs: each stage with its named inputs and outputs, and sample inputs to trace and compare it on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime.manifest.layers import Layer, style_count
from .hyperstyle import HyperStyle
from .precision import FLOAT32, Precision
from .stages.encoder import EncoderStage
from .stages.hypernet import HypernetStage
from .stages.offsets import OffsetsStage, WeightsStage, base_weight, energy
from .stages.scales import ActivationScales, activation_scales
from .stages.synthesis import SynthesisStage, folded_noises

BATCH = "batch"
STEPS = "kept_steps"


@dataclass(frozen=True)
class Graph:
    """One stage to export.

    ``args`` are the module's sample arguments, ``free_axes`` has their structure with a dict {axis: name} or None at
    every tensor. ``inputs`` and ``outputs`` name the flattened tensors in order.
    """

    name: str
    module: nn.Module
    args: tuple[Any, ...]
    free_axes: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def weight_names(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Tensors between `weights` and `synthesis`: every tuned weight, then every tuned layer's energy."""
    tuned = [layer for layer in layers if layer.tuned]
    return (
        *(f"weight.{layer.name}" for layer in tuned),
        *(f"energy.{layer.name}" for layer in tuned if layer.demodulated),
    )


def noise_names(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """The noises of `synthesis`, one for each 3x3 convolution, tuned or not."""
    return tuple(f"noise.{layer.name}" for layer in layers if layer.demodulated)


def generator_constants(model: HyperStyle, precision: Precision, scales: ActivationScales) -> dict[str, Tensor]:
    """What `synthesis` takes besides codes, before any step, in its order: untuned weights, energies, noises."""
    layers, generator = model.config.layers, model.generator
    tuned = [layer for layer in layers if layer.tuned]
    weights = [base_weight(generator, layer, precision) for layer in tuned]
    energies = [energy(weight) for layer, weight in zip(tuned, weights, strict=True) if layer.demodulated]
    noises = folded_noises(generator, precision, scales)
    names = (*weight_names(layers), *noise_names(layers))
    return dict(zip(names, (*weights, *energies, *noises), strict=True))


def build_graphs(
    model: HyperStyle, precision: Precision = FLOAT32, scales: ActivationScales | None = None
) -> Iterator[Graph]:
    """The stages of a HyperStyle model, `synthesis` in both its forms, each made when it is asked for.

    ``scales`` are those of ``activation_scales``, measured here unless given.
    """
    layers, image = model.config.layers, model.config.image
    scales = scales or activation_scales(model.generator, layers, model.latent_avg, precision)
    tuned = [layer for layer in layers if layer.tuned]
    generate = torch.Generator().manual_seed(0)
    # A traced size of 1 would be taken for a constant, so free axes are traced with 2.
    photo = torch.rand(2, 3, image.input_height, image.input_width, generator=generate) * 2 - 1
    reconstruction = torch.rand(photo.shape, generator=generate) * 2 - 1
    codes = model.latent_avg + torch.randn(2, style_count(image.size), 512, generator=generate) * 0.3
    kept = 2 if model.config.separable else 1
    offset_codes = torch.randn(kept, len(tuned), 512, generator=generate) * 0.1
    steps = torch.tensor(2.0)

    yield Graph(
        "encoder",
        EncoderStage(model.encoder, model.latent_avg, precision),
        (photo,),
        ({0: BATCH},),
        ("image",),
        ("codes",),
    )
    yield Graph(
        "hypernet",
        HypernetStage(model.hypernet, layers, precision),
        (photo, reconstruction),
        ({0: BATCH}, {0: BATCH}),
        ("image", "reconstruction"),
        ("offset_codes",),
    )
    offsets = OffsetsStage(model.hypernet, layers, precision)
    codes_axes = {0: STEPS} if model.config.separable else None
    code_inputs = ("offset_codes", "steps")
    yield Graph(
        "offsets",
        offsets,
        (offset_codes, steps),
        (codes_axes, None),
        code_inputs,
        tuple(f"offset.{layer.name}" for layer in tuned),
    )
    weights = WeightsStage(offsets, model.generator)
    constants = generator_constants(model, precision, scales)
    names, tensors = tuple(constants), list(constants.values())
    tuned_names = weight_names(layers)
    yield Graph("weights", weights, (offset_codes, steps), (codes_axes, None), code_inputs, tuned_names)
    parts = (tensors[: len(tuned)], tensors[len(tuned) : len(tuned_names)], tensors[len(tuned_names) :])
    for name, single in (("synthesis", False), ("synthesis_one", True)):
        module = SynthesisStage(
            model.generator,
            layers,
            image.rows,
            (32, 224) if model.config.cars else (0, 256),
            single,
            precision=precision,
            scales=scales,
        )
        yield Graph(
            name,
            module,
            (codes[:1] if single else codes, *parts),
            (None if single else {0: BATCH}, *([None] * len(part) for part in parts)),
            ("codes", *names),
            ("image", "reconstruction"),
        )
