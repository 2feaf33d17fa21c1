"""The convolutional trunks below every encoder and hypernetwork: IR-SE50 of ArcFace, and ResNet-34 without max-pool."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class UnitShape:
    """A residual unit: its widths, its stride, and the width inside its channel attention, 0 where it has none.

    ``projected`` says that the shortcut is a convolution.
    """

    in_channels: int
    channels: int
    stride: int
    projected: bool
    squeeze: int = 0


@dataclass(frozen=True)
class TrunkShape:
    """Widths of a trunk: ``kind`` is "irse" or "resnet", ``stem`` the width behind its first convolution."""

    kind: str
    input_channels: int
    stem: int
    units: tuple[UnitShape, ...]

    @property
    def width(self) -> int:
        """Channels of the features."""
        return self.units[-1].channels

    @property
    def stride(self) -> int:
        """Pixels of the input for one of the features: 16 in the published networks."""
        stride = 2 if self.kind == "resnet" else 1
        for unit in self.units:
            stride *= unit.stride
        return stride

    @property
    def ends(self) -> tuple[int, ...]:
        """The last unit of every stage; a stage begins where the resolution halves."""
        last = len(self.units) - 1
        return tuple(i for i in range(len(self.units)) if i == last or self.units[i + 1].stride == 2)


def unit_shape(kind: str, first: bool, widths: tuple[int, int], projected: bool, squeeze: int = 0) -> UnitShape:
    """A unit of a trunk of ``kind``: where the shortcut is a convolution, it halves the resolution.

    So does IR-SE50's very first unit, whose shortcut drops every other pixel: no tensor says so.
    """
    before, channels = widths
    projected = projected or before != channels
    return UnitShape(before, channels, 2 if projected or (first and kind == "irse") else 1, projected, squeeze)


def trunk_shape(
    kind: str, input_channels: int, stem: int, stages: tuple[tuple[int, int], ...], reduction: int = 16
) -> TrunkShape:
    """A trunk of (channels, units) a stage; ``reduction`` is that of the channel attention in "irse"."""
    units: list[UnitShape] = []
    before = stem
    for channels, count in stages:
        squeeze = channels // reduction if kind == "irse" else 0
        units += [
            unit_shape(kind, not units and i == 0, (before if i == 0 else channels, channels), False, squeeze)
            for i in range(count)
        ]
        before = channels
    return TrunkShape(kind, input_channels, stem, tuple(units))


#: IR-SE50 and ResNet-34, for photos.
PUBLISHED_TRUNKS = {
    "irse": trunk_shape("irse", 3, 64, ((64, 3), (128, 4), (256, 14), (512, 3))),
    "resnet": trunk_shape("resnet", 3, 64, ((64, 3), (128, 4), (256, 6), (512, 3))),
}


class SqueezeExcitation(nn.Module):
    """Channel attention: ``x * sigmoid(fc2(relu(fc1(mean(x)))))`` (Hu et al., 2018)."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeeze, 1, bias=False)
        self.fc2 = nn.Conv2d(squeeze, channels, 1, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """The channels' factors, [B, channels, 1, 1] in [0, 1]."""
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class ResidualUnit(nn.Module):
    """Improved-residual unit: batch norm, two 3x3 convolutions with PReLU, batch norm, channel attention, shortcut."""

    def __init__(self, shape: UnitShape) -> None:
        super().__init__()
        before, channels = shape.in_channels, shape.channels
        if shape.projected:
            self.shortcut_layer: nn.Module = nn.Sequential(
                nn.Conv2d(before, channels, 1, shape.stride, bias=False), nn.BatchNorm2d(channels)
            )
        else:
            self.shortcut_layer = nn.MaxPool2d(1, shape.stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, shape.stride, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        if shape.squeeze:
            self.res_layer.append(SqueezeExcitation(channels, shape.squeeze))

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class BasicBlock(nn.Module):
    """ResNet-34's residual block (He et al., 2016)."""

    def __init__(self, shape: UnitShape) -> None:
        super().__init__()
        before, channels = shape.in_channels, shape.channels
        self.conv1 = nn.Conv2d(before, channels, 3, shape.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if shape.projected:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, channels, 1, shape.stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Trunk(nn.Module):
    """Images [B, C, H, W] float32 to features [B, width, H/stride, W/stride]."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.trunk_shape = shape
        if shape.kind == "resnet":
            self.conv1 = nn.Conv2d(shape.input_channels, shape.stem, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(shape.stem)
            self.relu = nn.PReLU(shape.stem)
            self.body = nn.Sequential(*(BasicBlock(unit) for unit in shape.units))
        else:
            self.input_layer = nn.Sequential(
                nn.Conv2d(shape.input_channels, shape.stem, 3, 1, 1, bias=False),
                nn.BatchNorm2d(shape.stem),
                nn.PReLU(shape.stem),
            )
            self.body = nn.Sequential(*(ResidualUnit(unit) for unit in shape.units))

    def features(self, x: Tensor) -> Tensor:
        """Features of the last stage."""
        return self.stages(x)[-1]

    def stages(self, x: Tensor) -> list[Tensor]:
        """Features at the end of every stage."""
        x = self.relu(self.bn1(self.conv1(x))) if self.trunk_shape.kind == "resnet" else self.input_layer(x)
        ends = []
        for i, unit in enumerate(self.body):
            x = unit(x)
            if i in self.trunk_shape.ends:
                ends.append(x)
        return ends


def trunk_of(network: Trunk) -> Trunk:
    """The trunk of a network by itself, sharing its modules."""
    with torch.device("meta"):
        trunk = Trunk(network.trunk_shape)
    for name, _ in trunk.named_children():
        setattr(trunk, name, network.get_submodule(name))
    return trunk
