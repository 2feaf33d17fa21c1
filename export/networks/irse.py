"""IR-SE50, the ArcFace backbone of the inversion encoders, and HyperStyle's W-encoder on top of it."""

import torch
from torch import Tensor, nn

from .layers import EqualLinear

#: (channels in, channels out, residual units) of the four stages of IR-SE50; the first unit of each has stride 2.
IR_SE50_STAGES = ((64, 64, 3), (64, 128, 4), (128, 256, 14), (256, 512, 3))


class SqueezeExcitation(nn.Module):
    """Channel attention: ``x * sigmoid(fc2(relu(fc1(mean(x)))))`` (Hu et al., 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """The channels' factors, [B, channels, 1, 1] in [0, 1]."""
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class ResidualUnit(nn.Module):
    """Improved-residual unit: batch norm, two 3x3 convolutions with PReLU, batch norm, channel attention, shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcitation(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


def residual_units() -> list[ResidualUnit]:
    """The 24 residual units of IR-SE50, in order."""
    return [
        ResidualUnit(in_channels if unit == 0 else channels, channels, 2 if unit == 0 else 1)
        for in_channels, channels, units in IR_SE50_STAGES
        for unit in range(units)
    ]


class WEncoder(nn.Module):
    """HyperStyle's encoder: one W code per photo, without the average code.

    ``code = linear(mean_pool(IR-SE50(x)))``; the photo [B, 3, H, W] float32 in [-1, 1] becomes [B, 512].
    """

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        self.body = nn.Sequential(*residual_units())
        self.linear = EqualLinear(512, 512)

    def features(self, x: Tensor) -> Tensor:
        """What is pooled to the code: [B, 512, H/16, W/16]."""
        return self.body(self.input_layer(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).mean((2, 3)))
