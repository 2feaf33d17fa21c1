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
    """Depthwise 4x4 FIR filter of StyleGAN2; ``up=2`` first inserts a zero after every sample.

    ``kernel`` comes with the checkpoint: the outer product of [1, 3, 3, 1], normalised, times 4. It is symmetric, so
    convolution and correlation agree.
    """

    def __init__(self, up: int = 1) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.empty(4, 4))
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, 4, 4)
        if self.up == 2:
            return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)
        return F.conv2d(x, kernel, padding=1, groups=channels)


class ModulatedConv(nn.Module):
    """StyleGAN2 convolution whose weights carry the style, HyperStyle's relative offsets and the demodulation.

    ``W' = scale * W * (1 + offset) * s``, then ``W' * rsqrt(sum(W'^2) + 1e-8)`` per output channel when demodulated,
    with ``s = modulation(code)`` and ``scale = 1 / sqrt(in * k * k)``: one set of weights per sample, so the batch runs
    as groups. An up-convolution is a stride-2 transposed convolution followed by the blur.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, demodulate: bool, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(512, in_channels)
        self.scale = 1.0 / math.sqrt(in_channels * kernel * kernel)
        self.demodulate = demodulate
        self.up = up
        if up:
            self.blur = Blur()

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
