"""Powers of two that keep a generator's weights and activations near 1 in 16 bits, whatever the checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ...runtime.manifest.layers import Layer
from ..networks.stylegan2 import Generator
from ..precision import Precision, power_of_two

#: Activations of the average code end here: as far below FP16's 65504 as above the values that it rounds coarsely.
PEAK = 32.0


@dataclass(frozen=True)
class ActivationScales:
    """What activations are divided by: the constant input, and each demodulated layer's output, by index in order."""

    constant: float
    outputs: Mapping[int, float]


@torch.no_grad()
def activation_scales(
    generator: Generator, layers: tuple[Layer, ...], latent_avg: Tensor, precision: Precision
) -> ActivationScales:
    """Powers of two that bring the peaks of the untuned generator's activations at the average code to ``PEAK``.

    For float32 graphs they are 1. A layer is linear up to its leaky ReLU, which commutes with positive factors. So
    dividing what goes in, the noise and the bias divides what comes out: exactly, and without a node of its own,
    because demodulation takes the factor.
    """
    peaks: dict[int, Tensor] = {}

    def keep(index: int, _: nn.Module, __: object, output: Tensor) -> None:
        peaks[index] = output.abs().max()

    convolutions = [layer for layer in layers if layer.demodulated]
    if not precision.rescaled:
        return ActivationScales(1.0, dict.fromkeys((layer.index for layer in convolutions), 1.0))
    hooks = [
        generator.get_submodule(layer.name).register_forward_hook(partial(keep, layer.index)) for layer in convolutions
    ]
    try:
        generator(latent_avg[None])
    finally:
        for hook in hooks:
            hook.remove()
    return ActivationScales(
        _scale(generator.input.input.abs().max()), {index: _scale(peak) for index, peak in peaks.items()}
    )


def _scale(peak: Tensor) -> float:
    return float(power_of_two(peak)) / PEAK if peak > 0 else 1.0


def weight_scales(generator: Generator, layer: Layer, precision: Precision) -> Tensor:
    """What each output channel of a layer's weights is divided by, [out] float32; ones for float32 graphs.

    The power of two at the channel's norm ``sqrt(sum_ik (scale * W)^2)``: with it ``|conv(x * s)|`` stays below the
    norm of x where ``|s| <= 1``. Demodulation divides by the norm anyway; toRGB gets its scale back.
    """
    conv = generator.get_submodule(layer.name).get_submodule("conv")
    if not precision.rescaled:
        return torch.ones(layer.out_channels)
    # Squares of a tiny checkpoint's weights would vanish in float32.
    return power_of_two((conv.scale * conv.weight[0]).double().square().sum((1, 2, 3)).sqrt()).float()
