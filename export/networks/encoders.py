"""The inversion encoders of pSp, e4e, ReStyle and HyperStyle: four ways from a trunk's features to codes.

Every one is a trunk, some feature maps of it, a stack of convolutions on each map for each code, and what makes codes
of the stacks' ends. The exported graphs are cut there: what follows the ends is small and stays float32.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import EqualLinear, conv_stack
from .trunk import Trunk, TrunkShape

#: The first style blocks of the middle and of the fine level of the feature pyramid.
MIDDLE, FINE = 3, 7
#: Levels of the pyramid, each at the end of a stage of the trunk.
LEVELS = 3


@dataclass(frozen=True)
class EncoderShape:
    """Widths of an encoder that gives ``rows`` codes of ``width`` numbers.

    ``head`` is "pooled" (one code for all rows, from the mean of the features), "flattened" (all codes from features
    pooled to ``pool`` x ``pool``), "styles" (a style block of ``convs`` convolutions a row, on the last features) or
    "pyramid" (the same on three levels, one convolution more on each finer one). With ``progressive`` the first row is
    a code and every other one is a difference to it, as in e4e.
    """

    head: str
    trunk: TrunkShape
    rows: int
    width: int
    progressive: bool = False
    convs: int = 0
    pool: int = 0

    @property
    def largest_input(self) -> int | None:
        """Sides of the largest input: there a style block ends at one pixel. None where the features are pooled."""
        return self.trunk.stride << self.convs if self.convs else None


class StyleBlock(nn.Module):
    """Feature map to one code: stride-2 convolutions down to one pixel, then an equalized linear map."""

    def __init__(self, channels: int, width: int, convs: int) -> None:
        super().__init__()
        self.convs = conv_stack([channels, *[width] * convs], [2] * convs)
        self.linear = EqualLinear(width, width)


class Encoder(Trunk):
    """Input [B, C, H, W] float32 to codes as ``codes`` gives them, the average code not added."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__(shape.trunk)
        self.shape = shape

    def maps(self, x: Tensor) -> list[Tensor]:
        """The feature maps that codes are made from."""
        return [self.features(x)]

    def stacks(self) -> list[list[nn.Module]]:
        """The convolutions on each map; their ends are in the order of the rows."""
        return [[nn.Identity()]]

    @abstractmethod
    def codes(self, ends: list[Tensor]) -> Tensor:
        """Codes [B, rows, width] from the stacks' ends; [B, 1, width] where all rows are the same."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        return self.codes([stack(m) for m, stacks in zip(maps, self.stacks(), strict=True) for stack in stacks])


class PooledEncoder(Encoder):
    """One W code a photo: ``linear(mean(features))``, for every row the same."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__(shape)
        self.linear = EqualLinear(shape.trunk.width, shape.width)

    def codes(self, ends: list[Tensor]) -> Tensor:
        return self.linear(ends[0].mean((2, 3)))[:, None]


class FlattenedHead(nn.Sequential):
    """Batch norm, average pooling to a square, and a linear map of all that is left."""

    def __init__(self, channels: int, pool: int, width: int) -> None:
        super().__init__(
            nn.BatchNorm2d(channels),
            nn.AdaptiveAvgPool2d((pool, pool)),
            nn.Flatten(),
            nn.Linear(channels * pool * pool, width),
        )


class FlattenedEncoder(Encoder):
    """All codes from one vector: ``linear(output_layer_2(features))``."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__(shape)
        self.output_layer_2 = FlattenedHead(shape.trunk.width, shape.pool, shape.width)
        self.linear = EqualLinear(shape.width, shape.width * shape.rows)

    def codes(self, ends: list[Tensor]) -> Tensor:
        return self.linear(self.output_layer_2(ends[0])).view(-1, self.shape.rows, self.shape.width)


class StylesEncoder(Encoder):
    """A style block a row, all of them on the last features."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__(shape)
        self.styles = nn.ModuleList(
            StyleBlock(shape.trunk.width, shape.width, self.block_convs(row)) for row in range(shape.rows)
        )

    def block_convs(self, row: int) -> int:
        """Convolutions in the style block of ``row``."""
        return self.shape.convs

    def stacks(self) -> list[list[nn.Module]]:
        return [[block.get_submodule("convs") for block in self.styles]]

    def codes(self, ends: list[Tensor]) -> Tensor:
        rows = [block.get_submodule("linear")(end.flatten(1)) for block, end in zip(self.styles, ends, strict=True)]
        if self.shape.progressive:
            rows = [rows[0], *(rows[0] + difference for difference in rows[1:])]
        return torch.stack(rows, 1)


class UpsampleTo(nn.Module):
    """Bilinear interpolation to a given shape, the corners' pixels aligned."""

    def forward(self, x: Tensor, shape: torch.Size) -> Tensor:
        return F.interpolate(x, size=shape[2:], mode="bilinear", align_corners=True)


class PyramidEncoder(StylesEncoder):
    """A style block a row, on a feature pyramid of the trunk's last three stages (Lin et al., 2017)."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__(shape)
        fine, middle, coarse = (shape.trunk.units[end].channels for end in shape.trunk.ends[-LEVELS:])
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)
        self.upsamples = nn.ModuleList([UpsampleTo(), UpsampleTo()])

    def block_convs(self, row: int) -> int:
        return self.shape.convs + (row >= MIDDLE) + (row >= FINE)

    def maps(self, x: Tensor) -> list[Tensor]:
        fine, middle, coarse = self.stages(x)[-LEVELS:]
        middle = self.upsamples[0](coarse, middle.shape) + self.latlayer1(middle)
        return [coarse, middle, self.upsamples[1](middle, fine.shape) + self.latlayer2(fine)]

    def stacks(self) -> list[list[nn.Module]]:
        (stacks,) = super().stacks()
        return [stacks[:MIDDLE], stacks[MIDDLE:FINE], stacks[FINE:]]


HEADS: dict[str, type[Encoder]] = {
    "pooled": PooledEncoder,
    "flattened": FlattenedEncoder,
    "styles": StylesEncoder,
    "pyramid": PyramidEncoder,
}


def build_encoder(shape: EncoderShape) -> Encoder:
    """The encoder of a shape, its tensors not filled."""
    return HEADS[shape.head](shape)
