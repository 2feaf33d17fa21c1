"""Layers that StyleGAN2 and its inversion networks share: equalized linear maps, FIR blurs, modulated convolutions."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2.0)
LEAKY_SLOPE = 0.2
DEMODULATION_EPS = 1e-8


class EqualLinear(nn.Module):
    """Linear map with equalized learning rate: ``y = x @ (W * lr_mul / sqrt(in)).T + lr_mul * b``.

    Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020). With ``activate`` the result goes
    through ``sqrt(2) * leaky_relu(y, 0.2)``, as in the mapping network.
    """

    def __init__(self, in_features: int, out_features: int, lr_mul: float = 1.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        self.lr_mul = lr_mul
        self.scale = lr_mul / math.sqrt(in_features)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)
        return F.leaky_relu(y, LEAKY_SLOPE) * SQRT2 if self.activate else y


class Blur(nn.Module):
    """Depthwise FIR filter of StyleGAN2; ``up=2`` first inserts a zero after every sample.

    ``kernel`` [taps, taps], an even number, comes with the checkpoint: in every published one the outer product of
    [1, 3, 3, 1], normalised, times 4. Samples are convolved with it, so that a correlation takes it turned around.
    """

    def __init__(self, taps: int, up: int = 1) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.empty(taps, taps))
        self.up = up

    @property
    def padding(self) -> int:
        """What keeps the result at its size, or doubles it, for an up-convolution one row less."""
        return self.kernel.shape[0] // 2 - 1

    def correlated(self) -> Tensor:
        """The kernel that a correlation takes."""
        return self.kernel.flip((0, 1))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        if self.up == 2:
            kernel = self.kernel.expand(channels, 1, -1, -1)
            return F.conv_transpose2d(x, kernel, stride=2, padding=self.padding, groups=channels)
        kernel = self.correlated().expand(channels, 1, -1, -1)
        return F.conv2d(x, kernel, padding=self.padding, groups=channels)


class ModulatedConv(nn.Module):
    """StyleGAN2 convolution whose weights carry the style, HyperStyle's relative offsets and the demodulation.

    ``W' = scale * W * (1 + offset) * s``, then ``W' * rsqrt(sum(W'^2) + 1e-8)`` per output channel when demodulated,
    with ``s = modulation(code)`` and ``scale = 1 / sqrt(in * k * k)``: one set of weights per sample, so the batch runs
    as groups. An up-convolution is a stride-2 transposed convolution followed by the blur of ``taps``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, width: int, *, demodulate: bool, taps: int = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(width, in_channels)
        self.scale = 1.0 / math.sqrt(in_channels * kernel * kernel)
        self.demodulate = demodulate
        self.up = taps > 0
        if self.up:
            self.blur = Blur(taps)

    def forward(self, x: Tensor, code: Tensor, offset: Tensor | None) -> Tensor:
        batch, in_channels, height, width = x.shape
        out_channels, kernel = self.weight.shape[1], self.weight.shape[-1]
        style = self.modulation(code).view(batch, 1, in_channels, 1, 1)
        weight = self.scale * self.weight * style
        if offset is not None:
            weight = weight * (1 + offset)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + DEMODULATION_EPS)
        x = x.reshape(1, batch * in_channels, height, width)
        if not self.up:
            weight = weight.view(batch * out_channels, in_channels, kernel, kernel)
            y = F.conv2d(x, weight, padding=kernel // 2, groups=batch)
            return y.view(batch, out_channels, height, width)
        weight = weight.transpose(1, 2).reshape(batch * in_channels, out_channels, kernel, kernel)
        y = F.conv_transpose2d(x, weight, stride=2, groups=batch)
        return self.blur(y.view(batch, out_channels, *y.shape[2:]))


def conv_stack(widths: list[int], strides: list[int]) -> nn.Sequential:
    """3x3 convolutions ``widths[i] -> widths[i + 1]``, LeakyReLU(0.01) after each."""
    layers: list[nn.Module] = []
    for i, stride in enumerate(strides):
        layers += [nn.Conv2d(widths[i], widths[i + 1], 3, stride, 1), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)
