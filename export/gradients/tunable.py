"""A generator whose every number is an input: what PTI tunes, and what draws with a photo's own numbers."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import Layer
from ...runtime.methods.tuning import INPUT, tuned_tensors
from ..networks.layers import DEMODULATION_EPS, LEAKY_SLOPE, SQRT2
from ..networks.stylegan2 import Generator


class Tunable(nn.Module):
    """``G(codes; theta + differences)``, the differences of all tensors in one row [1, n], in checkpoint units.

    The style is on the activations, as docs/architecture.md has it, and energies are computed from the weights, so
    that one person's weights serve any number of codes. For a ``single`` code style and demodulation go onto the
    weights where these are smaller than the activations. Adam moves the numbers that a checkpoint holds: the equalized
    learning rate's factors are applied here, a convolution's to its style.
    """

    def __init__(self, generator: Generator, layers: tuple[Layer, ...], single: bool = True) -> None:
        super().__init__()
        self.layers, self.single = layers, single
        self.names = tuned_tensors(layers, generator.shape.width)
        held = dict(generator.named_parameters())
        self.base = nn.ParameterList([held[name].detach() for name in self.names])
        self.blurs, self.scales = nn.ModuleDict(), {}
        for layer in layers:
            module = generator.get_submodule(layer.name)
            blur = getattr(module.conv, "blur", None) if layer.demodulated else getattr(module, "upsample", None)
            if blur is not None:
                self.blurs[str(layer.index)] = blur
            self.scales[layer.index] = module.conv.scale, module.conv.modulation.scale
        # A vector, because the exporter takes a scalar of 1e-8 for zero and drops the sum.
        self.register_buffer("eps", torch.full((1,), DEMODULATION_EPS))

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(tensor.numel() for tensor in self.base)

    def split(self, row: Tensor) -> list[Tensor]:
        """The numbers of all tensors in one row to each tensor's own, shaped as it is."""
        parts = row.reshape(-1).split([tensor.numel() for tensor in self.base])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, self.base, strict=True)]

    def tensors(self, differences: Tensor) -> dict[str, Tensor]:
        """The generator's tensors by their published names, ``theta + differences``."""
        moved = zip(self.base, self.split(differences), strict=True)
        return dict(zip(self.names, (base + difference for base, difference in moved), strict=True))

    def forward(self, codes: Tensor, tensors: Mapping[str, Tensor], noises: Iterator[Tensor]) -> Tensor:
        """Codes [N, styles, width] to drawings; ``noises`` [1, 1, r, r] as the checkpoint has them."""
        x = tensors[INPUT].expand(codes.shape[0], -1, -1, -1)
        rgb: Tensor | None = None
        for layer in self.layers:
            own = {name.removeprefix(f"{layer.name}."): each for name, each in tensors.items() if _of(name, layer)}
            code = codes[:, layer.style]
            if layer.demodulated:
                x = self._convolved(layer, x, code, own, next(noises))
            else:
                rgb = self._drawn(layer, x, code, own, rgb)
        assert rgb is not None
        return rgb

    def _style(self, layer: Layer, code: Tensor, own: Mapping[str, Tensor]) -> Tensor:
        """The style times the scale of the weights that it meets."""
        weights, modulation = self.scales[layer.index]
        style = F.linear(code, own["conv.modulation.weight"] * modulation, own["conv.modulation.bias"])
        return style * weights

    def _on_weights(self, layer: Layer) -> bool:
        return self.single and prod(layer.weight_shape) < layer.in_channels * layer.input_resolution**2

    def _convolved(self, layer: Layer, x: Tensor, code: Tensor, own: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """``sqrt(2) leaky_relu(conv(x s, W) d + strength noise + bias)``, the gain in d, noise and bias."""
        weight, style = own["conv.weight"][0], self._style(layer, code, own)
        demodulation = SQRT2 * torch.rsqrt((style * style) @ energies(weight).t() + self.eps)
        bias = SQRT2 * own["activate.bias"]
        if self._on_weights(layer):
            weight = weight * torch.outer(demodulation[0], style[0])[:, :, None, None]
            y = self._resampled(layer, x, weight)
        else:
            y = self._resampled(layer, x * style[:, :, None, None], weight) * demodulation[:, :, None, None]
        if layer.up:
            y = self.blurs[str(layer.index)](y)
        return F.leaky_relu(y + SQRT2 * own["noise.weight"] * noise + bias.view(1, -1, 1, 1), LEAKY_SLOPE)

    @staticmethod
    def _resampled(layer: Layer, x: Tensor, weight: Tensor) -> Tensor:
        if layer.up:
            return F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        return F.conv2d(x, weight, padding=1)

    def _drawn(self, layer: Layer, x: Tensor, code: Tensor, own: Mapping[str, Tensor], below: Tensor | None) -> Tensor:
        weight, style = own["conv.weight"][0], self._style(layer, code, own)
        if self._on_weights(layer):
            rgb = F.conv2d(x, weight * style[0][None, :, None, None])
        else:
            rgb = F.conv2d(x * style[:, :, None, None], weight)
        rgb = rgb + own["bias"]
        return rgb if below is None else rgb + self.blurs[str(layer.index)](below)


class _Energies(torch.autograd.Function):
    """``energies`` with a gradient that makes nothing as large as the weights on its way but itself.

    Not ``stages.offsets.energy``: that is float32 whatever it is given, and gradients are checked in float64.
    """

    @staticmethod
    def forward(weight: Tensor) -> Tensor:
        return (weight * weight).sum((2, 3))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return weight * (2 * gradient)[:, :, None, None]


def energies(weight: Tensor) -> Tensor:
    """``sum over the taps of W^2``: [O, I, k, k] to [O, I]."""
    found: Tensor = _Energies.apply(weight)
    return found


def _of(name: str, layer: Layer) -> bool:
    return name.startswith(f"{layer.name}.")


def relative_offsets(tunable: Tunable, offsets: Mapping[str, Tensor]) -> Tensor:
    """HyperStyle's offsets by layer, relative to weights, as differences [1, n]: ``W * offset``, 0 elsewhere."""
    parts = []
    for name, base in zip(tunable.names, tunable.base, strict=True):
        layer = name.removesuffix(".conv.weight")
        if name.endswith(".conv.weight") and layer in offsets:
            offset = offsets[layer]
            offset = offset[:, :, None, None] if offset.dim() == 2 else offset
            parts.append((base[0] * offset).reshape(1, -1))
        else:
            parts.append(torch.zeros(1, prod(base.shape)))
    return torch.cat(parts, 1)


def noise_buffers(generator: Generator) -> list[Tensor]:
    """The checkpoint's own noises, one a convolution."""
    return [noise.detach() for noise in generator.noises.buffers()]


def without_noise(layers: tuple[Layer, ...]) -> list[Tensor]:
    """Zeros in place of noises."""
    sides = [layer.resolution for layer in layers if layer.demodulated]
    return [torch.zeros(1, 1, side, side) for side in sides]
