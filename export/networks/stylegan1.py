"""The StyleGAN1 generator in the layout of IDInvert's checkpoints (Karras et al. 2019; Zhu et al. 2020)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import FIRST_RESOLUTION
from .layers import LEAKY_SLOPE, SQRT2

#: Of pixel norm and instance norm.
EPSILON = 1e-8
#: The learning rate's factor of the mapping network.
MAPPING_RATE = 0.01
#: The loader's own truncation of published models: this much of the first rows.
TRUNCATION, TRUNCATED_ROWS = 0.7, 8


@dataclass(frozen=True)
class StyleGan1Shape:
    """Widths of a generator: channels at each resolution from 4x4 up, the numbers of a code, and of the mapping.

    ``fused`` says of each level above the first whether its up-convolution is stored as one transposed convolution,
    as the published ones are from 128 pixels on. ``mapping`` counts layers, ``latent`` and ``hidden`` are their widths.
    """

    channels: tuple[int, ...]
    fused: tuple[bool, ...]
    width: int
    mapping: int
    latent: int
    hidden: int

    @property
    def size(self) -> int:
        """Height and width of the image."""
        return FIRST_RESOLUTION << (len(self.channels) - 1)

    @property
    def styles(self) -> int:
        """Rows of W+: two a resolution."""
        return 2 * len(self.channels)


class _Scaled(nn.Module):
    """The bias of an equalized layer, under its published name."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(features))


class Dense(nn.Module):
    """``x @ W^T * scale + bias * rate``; the scale is ``gain / sqrt(in) * rate``."""

    def __init__(self, in_features: int, out_features: int, gain: float = 1.0, rate: float = 1.0) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features, bias=False)
        self.wscale = _Scaled(out_features)
        self.scale, self.rate = gain / math.sqrt(in_features) * rate, rate

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * self.scale + self.wscale.bias * self.rate


class Mapping(nn.Module):
    """Z [N, latent] to W [N, styles, width]: a row of its own for every layer."""

    def __init__(self, shape: StyleGan1Shape) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.latent, *[shape.hidden] * (shape.mapping - 1), shape.styles * shape.width]
        for index in range(shape.mapping):
            self.add_module(f"dense{index}", Dense(widths[index], widths[index + 1], SQRT2, MAPPING_RATE))

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + EPSILON)
        for dense in self.children():
            x = F.leaky_relu(dense(x), LEAKY_SLOPE)
        return x.view(-1, self.shape.styles, self.shape.width)


class Truncation(nn.Module):
    """Codes that were mapped, drawn towards the average of W; codes of an inversion are not."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.empty(width))

    def forward(self, codes: Tensor) -> Tensor:
        """``average + (codes - average) * 0.7`` in the first eight rows."""
        share = torch.ones(codes.shape[1], 1)
        share[:TRUNCATED_ROWS] = TRUNCATION
        return self.w_avg + (codes - self.w_avg) * share


class _Noise(nn.Module):
    def __init__(self, channels: int, resolution: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.register_buffer("noise", torch.empty(1, 1, resolution, resolution))


class _Style(nn.Module):
    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.dense = Dense(width, 2 * channels)


class Epilogue(nn.Module):
    """``norm(leaky_relu(x + noise * weight + bias)) * (s0 + 1) + s1``, with [s0, s1] affine in the layer's code."""

    def __init__(self, channels: int, resolution: int, width: int) -> None:
        super().__init__()
        self.apply_noise = _Noise(channels, resolution)
        self.bias = nn.Parameter(torch.empty(channels))
        self.style_mod = _Style(width, channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.style_mod.dense(code).view(-1, 2, x.shape[1], 1, 1).unbind(1)
        return self.normalised(x) * (scale + 1) + shift

    def normalised(self, x: Tensor) -> Tensor:
        """Before the style: each channel at mean 0 and mean square 1."""
        x = x + self.apply_noise.noise * self.apply_noise.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return instance_norm(F.leaky_relu(x, LEAKY_SLOPE), torch.full((1,), EPSILON, dtype=x.dtype))


def instance_norm(x: Tensor, epsilon: Tensor) -> Tensor:
    """``(x - mean) / sqrt(mean((x - mean)^2) + epsilon)`` of every channel of every picture; ``epsilon`` is [1]."""
    centred = x - x.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + epsilon)


class _Blur(nn.Module):
    """The depthwise filter behind an up-convolution; its kernel [channels, 1, 3, 3] comes with the checkpoint."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.empty(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, padding=1, groups=x.shape[1])


class ConstantLayer(nn.Module):
    """Layer 0: the constant, through its epilogue."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.empty(1, channels, FIRST_RESOLUTION, FIRST_RESOLUTION))
        self.epilogue = Epilogue(channels, FIRST_RESOLUTION, width)

    def forward(self, code: Tensor) -> Tensor:
        return self.epilogue(self.const.expand(len(code), -1, -1, -1), code)


class ConvLayer(nn.Module):
    """A 3x3 convolution with an equalized learning rate, and its epilogue."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.epilogue = Epilogue(out_channels, resolution, width)
        self.scale = SQRT2 / math.sqrt(9 * in_channels)

    def convolved(self, x: Tensor) -> Tensor:
        """Before the epilogue."""
        return self.conv(x) * self.scale

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.epilogue(self.convolved(x), code)


class UpLayer(ConvLayer):
    """The same on features that are twice as large, every value four times; blurred before the epilogue."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, width: int) -> None:
        super().__init__(in_channels, out_channels, resolution, width)
        self.blur = _Blur(out_channels)

    def convolved(self, x: Tensor) -> Tensor:
        return self.blur(super().convolved(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class FusedUpLayer(nn.Module):
    """The same as one transposed convolution, whose 3x3 weights [3, 3, in, out] are summed over four shifts."""

    def __init__(self, in_channels: int, out_channels: int, resolution: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3, 3, in_channels, out_channels))
        self.blur = _Blur(out_channels)
        self.epilogue = Epilogue(out_channels, resolution, width)
        self.scale = SQRT2 / math.sqrt(9 * in_channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        kernel = four_shifts(self.weight.permute(2, 3, 0, 1) * self.scale)
        return self.epilogue(self.blur(F.conv_transpose2d(x, kernel, stride=2, padding=1)), code)


def four_shifts(kernel: Tensor) -> Tensor:
    """The sum of a kernel's four shifts by one tap, [..., 3, 3] to [..., 4, 4]: what a 2x2 box makes of it."""
    wide = F.pad(kernel, (1, 1, 1, 1))
    return wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]


class _Output(nn.Module):
    """A 1x1 convolution to RGB; of the published ones, a level each, only the last one is used."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 3, 1, bias=False)
        self.bias = nn.Parameter(torch.empty(3))
        self.scale = 1 / math.sqrt(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale + self.bias.view(1, -1, 1, 1)


class Synthesis(nn.Module):
    """Codes [B, styles, width] to pictures [B, 3, size, size] in [-1, 1]."""

    def __init__(self, shape: StyleGan1Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("lod", torch.empty(()))
        channels, width = shape.channels, shape.width
        self.add_module("layer0", ConstantLayer(channels[0], width))
        for level, here in enumerate(channels):
            resolution = FIRST_RESOLUTION << level
            if level:
                up = FusedUpLayer if shape.fused[level - 1] else UpLayer
                self.add_module(f"layer{2 * level}", up(channels[level - 1], here, resolution, width))
            self.add_module(f"layer{2 * level + 1}", ConvLayer(here, here, resolution, width))
            self.add_module(f"output{level}", _Output(here))

    @property
    def output(self) -> nn.Module:
        """The last level's map to RGB."""
        return self.get_submodule(f"output{len(self.shape.channels) - 1}")

    def forward(self, codes: Tensor) -> Tensor:
        x = self.get_submodule("layer0")(codes[:, 0])
        for index in range(1, self.shape.styles):
            x = self.get_submodule(f"layer{index}")(x, codes[:, index])
        return self.output(x).tanh()


class StyleGan1(nn.Module):
    """Synthesis, mapping and truncation, as a file holds them."""

    def __init__(self, shape: StyleGan1Shape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping, self.truncation, self.synthesis = Mapping(shape), Truncation(shape.width), Synthesis(shape)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes [B, styles, width] float32, as an inversion has them, to pictures [B, 3, size, size] in [-1, 1]."""
        return self.synthesis(codes)
