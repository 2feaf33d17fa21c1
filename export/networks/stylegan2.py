"""The StyleGAN2 generator in the layout that HyperStyle, pSp, e4e and ReStyle checkpoints share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import channels_at
from .layers import LEAKY_SLOPE, SQRT2, Blur, EqualLinear, ModulatedConv


class PixelNorm(nn.Module):
    """Normalise each sample of Z to unit mean square before the mapping network."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class _NoiseStrength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))


class _ActivationBias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))


class _ConstantInput(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(1, channels, 4, 4))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, fixed noise, bias and ``sqrt(2) * leaky_relu(x, 0.2)``."""

    def __init__(self, in_channels: int, out_channels: int, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, demodulate=True, up=up)
        self.noise = _NoiseStrength()
        self.activate = _ActivationBias(out_channels)

    def forward(self, x: Tensor, code: Tensor, noise: Tensor, offset: Tensor | None) -> Tensor:
        y = self.conv(x, code, offset) + self.noise.weight * noise
        return F.leaky_relu(y + self.activate.bias.view(1, -1, 1, 1), LEAKY_SLOPE) * SQRT2


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, not demodulated, added to the upsampled image of the level below."""

    def __init__(self, in_channels: int, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, demodulate=False, up=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))
        if up:
            self.upsample = Blur(up=2)

    def forward(self, x: Tensor, code: Tensor, skip: Tensor | None, offset: Tensor | None) -> Tensor:
        rgb = self.conv(x, code, offset) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class Generator(nn.Module):
    """StyleGAN2 synthesis and mapping networks for ``size`` = 256, 512 or 1024 (channel multiplier 2)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        levels = [2**i for i in range(3, size.bit_length())]
        self.style = nn.Sequential(PixelNorm(), *(EqualLinear(512, 512, 0.01, activate=True) for _ in range(8)))
        self.input = _ConstantInput(channels_at(4))
        self.conv1 = StyledConv(channels_at(4), channels_at(4), up=False)
        self.to_rgb1 = ToRGB(channels_at(4), up=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.empty(1, 1, 4, 4))
        for level in levels:
            below, here = channels_at(level // 2), channels_at(level)
            for up in (True, False):
                self.noises.register_buffer(f"noise_{len(self.convs) + 1}", torch.empty(1, 1, level, level))
                self.convs.append(StyledConv(below if up else here, here, up))
            self.to_rgbs.append(ToRGB(here, up=True))

    def forward(self, codes: Tensor, offsets: dict[int, Tensor] | None = None) -> Tensor:
        """Synthesize an image.

        Args:
            codes: W+ codes, [B, n_styles, 512] float32.
            offsets: HyperStyle's relative weight offsets by generator layer, each [B, out, in, k, k]; None for none.

        Returns:
            [B, 3, size, size] float32, about [-1, 1].
        """
        offset = (offsets or {}).get
        x = self.input.input.expand(codes.shape[0], -1, -1, -1)
        x = self.conv1(x, codes[:, 0], self.noises.noise_0, offset(0))
        rgb = self.to_rgb1(x, codes[:, 1], None, offset(1))
        for level, to_rgb in enumerate(self.to_rgbs):
            for half in (0, 1):
                conv = self.convs[2 * level + half]
                noise = self.noises.get_buffer(f"noise_{2 * level + half + 1}")
                x = conv(x, codes[:, 2 * level + half + 1], noise, offset(3 * level + 2 + half))
            rgb = to_rgb(x, codes[:, 2 * level + 3], rgb, offset(3 * level + 4))
        return rgb
