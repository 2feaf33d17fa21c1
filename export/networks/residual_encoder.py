"""IDInvert's domain-guided encoder (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", ECCV 2020)."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import LEAKY_SLOPE


@dataclass(frozen=True)
class ResidualShape:
    """Widths of an encoder: ``channels`` behind each block, ``hidden`` inside those from the second on.

    Every block from the second on halves its input; the last features, ``side`` x ``side``, make ``rows`` codes of
    ``width`` numbers.
    """

    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    side: int
    rows: int
    width: int

    @property
    def input(self) -> int:
        """Side of what it looks at."""
        return self.side << len(self.hidden)


class _Norm(nn.Module):
    """A batch norm under its published name, `bn.bn`."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.bn = norm

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x)


class _Bias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.view(1, -1, 1, 1)


class FirstBlock(nn.Module):
    """``leaky_relu(bn(conv(x)))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn = _Norm(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.bn(self.conv(x)), LEAKY_SLOPE)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions on halved features, added to what goes by: a 1x1 convolution, or the features themselves."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        if in_channels != out_channels:
            self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.bn = _Norm(nn.BatchNorm2d(out_channels))
        self.conv1, self.wscale1 = nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False), _Bias(hidden)
        self.bn1 = _Norm(nn.BatchNorm2d(hidden))
        self.conv2, self.wscale2 = nn.Conv2d(hidden, out_channels, 3, padding=1, bias=False), _Bias(out_channels)
        self.bn2 = _Norm(nn.BatchNorm2d(out_channels))

    @property
    def projected(self) -> bool:
        """Whether what goes by is a convolution."""
        return hasattr(self, "conv")

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        by = F.leaky_relu(self.bn(self.conv(x)), LEAKY_SLOPE) if self.projected else x
        x = F.leaky_relu(self.bn1(self.wscale1(self.conv1(x))), LEAKY_SLOPE)
        return F.leaky_relu(self.bn2(self.wscale2(self.conv2(x))), LEAKY_SLOPE) + by


class LastBlock(nn.Module):
    """``bn(fc(x) / sqrt(in))`` of all features in one row: these are the codes, no average is added."""

    def __init__(self, features: int, numbers: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, numbers, bias=False)
        self.bn = _Norm(nn.BatchNorm1d(numbers))
        self.scale = 1 / math.sqrt(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.fc(x.flatten(1)) * self.scale)


class ResidualEncoder(nn.Module):
    """Photos [B, 3, H, W] in [-1, 1] to codes [B, rows, width]."""

    def __init__(self, shape: ResidualShape) -> None:
        super().__init__()
        self.shape = shape
        self.add_module("block0", FirstBlock(shape.channels[0]))
        for index, (widths, hidden) in enumerate(zip(pairwise(shape.channels), shape.hidden, strict=True), 1):
            self.add_module(f"block{index}", ResidualBlock(widths[0], hidden, widths[1]))
        features = shape.channels[-1] * shape.side**2
        self.add_module(f"block{len(shape.channels)}", LastBlock(features, shape.rows * shape.width))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x.view(-1, self.shape.rows, self.shape.width)
