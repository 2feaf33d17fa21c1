"""The published networks at the demo model's widths, initialised for training; names as in the authors' checkpoints."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..export.networks.hypernetwork import BasicBlock, _stack
from ..export.networks.irse import ResidualUnit
from ..export.networks.layers import DEMODULATION_EPS, LEAKY_SLOPE, SQRT2, Blur, EqualLinear


@dataclass(frozen=True)
class Widths:
    """How wide the demo model is. ``channels`` from 4x4 up; ``trunk`` and ``encoder`` per stage, the blocks beside."""

    size: int = 64
    style: int = 64
    channels: tuple[int, ...] = (64, 64, 64, 32, 32)
    trunk: tuple[int, ...] = (16, 24, 32, 48)
    trunk_blocks: tuple[int, ...] = (1, 1, 1, 1)
    encoder: tuple[int, ...] = (16, 32, 48, 64)
    encoder_units: tuple[int, ...] = (1, 1, 1, 1)
    shared_stack: int = 16
    channel_stack: int = 24


class ModulatedConv(nn.Module):
    def __init__(self, style: int, in_channels: int, out_channels: int, kernel: int, up: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = EqualLinear(style, in_channels)
        nn.init.normal_(self.modulation.weight)
        nn.init.ones_(self.modulation.bias)
        self.scale = 1.0 / math.sqrt(in_channels * kernel * kernel)
        self.up = up
        if up:
            self.blur = Blur()

    def forward(self, x: Tensor, code: Tensor, offset: Tensor | None) -> tuple[Tensor, Tensor]:
        """The convolution before demodulation, and the demodulation's factors [B, out, 1, 1]."""
        style = self.modulation(code)
        if offset is None:
            weight = self.scale * self.weight[0]
            y = self._convolve(x * style[:, :, None, None].to(x.dtype), weight, 1)
            energy = style.square() @ weight.square().sum((2, 3)).T
        else:
            weight = self.scale * self.weight * (1 + offset)
            y = self._convolve(x * style[:, :, None, None].to(x.dtype), weight.flatten(0, 1), len(x))
            energy = (weight.square().sum((3, 4)) @ style.square()[:, :, None])[..., 0]
        return y, torch.rsqrt(energy + DEMODULATION_EPS)[:, :, None, None]

    def _convolve(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        """``weight`` [groups * out, in, k, k]; with more groups than one each sample has its own."""
        if self.up:
            weight = (weight.flatten(2) @ phases(self.blur.kernel)).unflatten(2, (4, 3, 3))
            weight = weight.transpose(1, 2).flatten(0, 1)
        padding = weight.shape[-1] // 2
        if groups == 1:
            y = F.conv2d(x, weight, padding=padding)
        else:  # one convolution a sample: as groups of one convolution they are slower on a CPU
            kernels = weight.view(groups, -1, *weight.shape[1:]).unbind()
            samples = zip(x.split(1), kernels, strict=True)
            y = torch.cat([F.conv2d(sample, kernel, padding=padding) for sample, kernel in samples])
        return F.pixel_shuffle(y, 2) if self.up else y


def phases(blur: Tensor) -> Tensor:
    """[9, 36]: from a 3x3 kernel to the four 3x3 kernels that do a blurred stride-2 transposed convolution.

    Each makes one of the four pixels that a pixel becomes: an ordinary convolution and a shuffle, which is quicker.
    """
    taps = torch.eye(9, dtype=blur.dtype).view(9, 1, 3, 3)
    full = F.conv2d(taps, blur.flip(0, 1)[None, None], padding=3)
    return full.view(9, 3, 2, 3, 2).flip(1, 3).permute(0, 2, 4, 1, 3).reshape(9, 36)


class _Holder(nn.Module):
    """A parameter under the name that the published layout gives it."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        setattr(self, name, nn.Parameter(value))


class StyledConv(nn.Module):
    def __init__(self, style: int, in_channels: int, out_channels: int, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(style, in_channels, out_channels, 3, up=up)
        self.noise = _Holder("weight", torch.zeros(1))
        self.activate = _Holder("bias", torch.zeros(out_channels))

    def forward(self, x: Tensor, code: Tensor, noise: Tensor, offset: Tensor | None) -> Tensor:
        y, factor = self.conv(x, code, offset)
        # The gain of the activation goes through it, which saves a pass over the picture. No noise: it stays at zero.
        bias = (SQRT2 * self.activate.bias).view(1, -1, 1, 1).to(y.dtype)
        return F.leaky_relu(torch.addcmul(bias, y, (SQRT2 * factor).to(y.dtype)), LEAKY_SLOPE)


class ToRGB(nn.Module):
    def __init__(self, style: int, in_channels: int, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(style, in_channels, 3, 1, up=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if up:
            self.upsample = Blur(up=2)

    def forward(self, x: Tensor, code: Tensor, skip: Tensor | None, offset: Tensor | None) -> Tensor:
        weight = self.conv.scale * self.conv.weight[:, :, :, 0, 0] * self.conv.modulation(code)[:, None]
        if offset is not None:
            weight = weight * (1 + offset[..., 0, 0])
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        rgb = (pixels @ weight.transpose(1, 2).to(x.dtype)).transpose(1, 2).unflatten(
            2, x.shape[2:]
        ).float() + self.bias
        return rgb if skip is None else rgb + self.upsample(skip)


class PixelNorm(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class Generator(nn.Module):
    def __init__(self, widths: Widths) -> None:
        super().__init__()
        style, channels = widths.style, widths.channels
        mapping = [EqualLinear(style, style, 0.01, activate=True) for _ in range(8)]
        for layer in mapping:
            nn.init.normal_(layer.weight, std=100.0)
            nn.init.zeros_(layer.bias)
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.input = _Holder("input", torch.randn(1, channels[0], 4, 4))
        self.conv1 = StyledConv(style, channels[0], channels[0], up=False)
        self.to_rgb1 = ToRGB(style, channels[0], up=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for i in range(1, len(channels)):
            level = 4 << i
            for up in (True, False):
                self.noises.register_buffer(f"noise_{len(self.convs) + 1}", torch.randn(1, 1, level, level))
                self.convs.append(StyledConv(style, channels[i - 1] if up else channels[i], channels[i], up))
            self.to_rgbs.append(ToRGB(style, channels[i], up=True))
            nn.init.zeros_(self.to_rgbs[-1].conv.weight)  # a level that joins in changes nothing at first
        kernel = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 16
        for module in self.modules():
            if isinstance(module, Blur):
                module.kernel.copy_(kernel)

    def forward(self, codes: Tensor, offsets: dict[int, Tensor] | None = None, levels: int | None = None) -> Tensor:
        """Codes [B, style] or [B, styles, style] to pictures [B, 3, size, size]; smaller ones after ``levels`` levels."""
        if codes.dim() == 2:
            codes = codes[:, None].expand(-1, 2 * len(self.to_rgbs) + 2, -1)
        offset = (offsets or {}).get
        x = self.input.input.expand(codes.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.conv1(x, codes[:, 0], self.noises.noise_0, offset(0))
        rgb = self.to_rgb1(x, codes[:, 1], None, offset(1))
        for level, to_rgb in enumerate(self.to_rgbs[:levels]):
            for half in (0, 1):
                noise = self.noises.get_buffer(f"noise_{2 * level + half + 1}")
                x = self.convs[2 * level + half](x, codes[:, 2 * level + half + 1], noise, offset(3 * level + 2 + half))
            rgb = to_rgb(x, codes[:, 2 * level + 3], rgb, offset(3 * level + 4))
        return rgb


class WEncoder(nn.Module):
    def __init__(self, widths: Widths, inputs: int = 3) -> None:
        super().__init__()
        first = widths.encoder[0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(inputs, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        before, units = first, []
        for channels, count in zip(widths.encoder, widths.encoder_units, strict=True):
            for unit in range(count):
                units.append(ResidualUnit(before, channels, 2 if unit == 0 else 1))
                before = channels
        self.body = nn.Sequential(*units)
        self.linear = EqualLinear(before, widths.style)
        nn.init.normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.body(self.input_layer(x)).mean((2, 3)))


class SharedHypernet(nn.Module):
    """The weight generator that all the widest layers share, see the paper: offset = (z @ w2 + b2) @ w1 + b1."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(code, channels * 9) * 0.01 / math.sqrt(code))
        self.b1 = nn.Parameter(torch.zeros(channels * 9))
        self.w2 = nn.Parameter(torch.randn(code, channels * code) / math.sqrt(code))
        self.b2 = nn.Parameter(torch.zeros(channels * code))

    def forward(self, z: Tensor) -> Tensor:
        code, channels = len(self.w1), self.w1.shape[1] // 9
        hidden = (z @ self.w2 + self.b2).view(-1, channels, code)
        return (hidden @ self.w1 + self.b1).view(-1, channels, channels, 3, 3)


class SharedRefinement(nn.Module):
    def __init__(self, features: int, stack: int, hypernet: SharedHypernet, halvings: int) -> None:
        super().__init__()
        widths = [features, *[stack] * halvings, features]
        self.convs = _stack(widths, [1] + [2] * halvings)
        self.linear = EqualLinear(features, features)
        nn.init.normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.hypernet = hypernet

    def forward(self, features: Tensor) -> Tensor:
        return self.hypernet(self.linear(self.convs(features).flatten(1)))


class ChannelRefinement(nn.Module):
    def __init__(self, features: int, stack: int, out_channels: int, in_channels: int) -> None:
        super().__init__()
        self.convs = _stack([features, stack, stack, features], [2, 2, 2])
        project = nn.Conv2d(features, out_channels * in_channels, 1)
        nn.init.normal_(project.weight, std=0.01 / math.sqrt(features))
        nn.init.zeros_(project.bias)
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), project)
        self.shape = (-1, out_channels, in_channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.convs(features)).view(self.shape)


class HyperNetwork(nn.Module):
    """Offsets by generator layer from a photo stacked on its reconstruction, [B, 6, size, size]."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        first = widths.trunk[0]
        self.conv1 = nn.Conv2d(6, first, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.PReLU(first)
        before, blocks = first, []
        for channels, count in zip(widths.trunk, widths.trunk_blocks, strict=True):
            for block in range(count):
                blocks.append(BasicBlock(before, channels, 2 if block == 0 and before != channels else 1))
                before = channels
        self.body = nn.Sequential(*blocks)
        self.shared_weight_hypernet = SharedHypernet(before, widths.channels[0])
        halvings = int(math.log2(widths.size // 16))
        self.refinement_blocks = nn.ModuleDict()
        for level, channels in enumerate(widths.channels):
            for half in (1,) if level == 0 else (0, 1):
                inputs = channels if half else widths.channels[level - 1]
                index = 0 if level == 0 else 3 * level - 1 + half
                if inputs == channels == widths.channels[0]:
                    block = SharedRefinement(before, widths.shared_stack, self.shared_weight_hypernet, halvings)
                else:
                    block = ChannelRefinement(before, widths.channel_stack, channels, inputs)
                self.refinement_blocks[str(index)] = block

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        features = self.body(self.relu(self.bn1(self.conv1(x))))
        return {int(index): block(features).float() for index, block in self.refinement_blocks.items()}
