"""The StyleGAN2 generator in the layout that HyperStyle, pSp, e4e and ReStyle checkpoints share."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import FIRST_RESOLUTION
from .layers import LEAKY_SLOPE, SQRT2, Blur, EqualLinear, ModulatedConv


@dataclass(frozen=True)
class GeneratorShape:
    """Widths of a generator: the channels at each resolution from 4x4 up, and the numbers of a code.

    ``mapping`` counts the layers of the mapping network, ``taps`` a side of the blur kernel.
    """

    channels: tuple[int, ...]
    width: int = 512
    mapping: int = 8
    taps: int = 4

    @property
    def size(self) -> int:
        """Height and width of the image."""
        return FIRST_RESOLUTION << (len(self.channels) - 1)

    @property
    def styles(self) -> int:
        """Rows of W+: 18, 16, 14 for 1024, 512, 256."""
        return 2 * len(self.channels)


def published_channels(size: int, multiplier: int = 2) -> tuple[int, ...]:
    """Channels of the published generators; half-width ones at 64 pixels and more have ``multiplier`` 1."""
    resolutions = [FIRST_RESOLUTION << level for level in range(size.bit_length() - FIRST_RESOLUTION.bit_length() + 1)]
    return tuple(512 if side <= 32 else multiplier * 16384 // side for side in resolutions)


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
        self.input = nn.Parameter(torch.empty(1, channels, FIRST_RESOLUTION, FIRST_RESOLUTION))


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, fixed noise, bias and ``sqrt(2) * leaky_relu(x, 0.2)``."""

    def __init__(self, in_channels: int, out_channels: int, width: int, taps: int = 0) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, width, demodulate=True, taps=taps)
        self.noise = _NoiseStrength()
        self.activate = _ActivationBias(out_channels)

    def forward(self, x: Tensor, code: Tensor, noise: Tensor, offset: Tensor | None) -> Tensor:
        y = self.conv(x, code, offset) + self.noise.weight * noise
        return F.leaky_relu(y + self.activate.bias.view(1, -1, 1, 1), LEAKY_SLOPE) * SQRT2


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, not demodulated, added to the upsampled image of the level below."""

    def __init__(self, in_channels: int, width: int, taps: int = 0) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, width, demodulate=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))
        if taps:
            self.upsample = Blur(taps, up=2)

    def forward(self, x: Tensor, code: Tensor, skip: Tensor | None, offset: Tensor | None) -> Tensor:
        rgb = self.conv(x, code, offset) + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class Generator(nn.Module):
    """StyleGAN2 synthesis and mapping networks."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        channels, width, taps = shape.channels, shape.width, shape.taps
        mapping = (EqualLinear(width, width, 0.01, activate=True) for _ in range(shape.mapping))
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.input = _ConstantInput(channels[0])
        self.conv1 = StyledConv(channels[0], channels[0], width)
        self.to_rgb1 = ToRGB(channels[0], width)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.empty(1, 1, FIRST_RESOLUTION, FIRST_RESOLUTION))
        for level, (below, here) in enumerate(pairwise(channels)):
            side = FIRST_RESOLUTION << (level + 1)
            for half in (0, 1):
                self.noises.register_buffer(f"noise_{2 * level + half + 1}", torch.empty(1, 1, side, side))
            self.convs.extend([StyledConv(below, here, width, taps), StyledConv(here, here, width)])
            self.to_rgbs.append(ToRGB(here, width, taps))

    def forward(self, codes: Tensor, offsets: dict[int, Tensor] | None = None) -> Tensor:
        """Synthesize an image.

        Args:
            codes: W+ codes, [B, styles, width] float32.
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
