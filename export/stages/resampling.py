"""Average pooling and upsampling by factors that are no whole numbers, as products with constant matrices.

The exporter makes dozens of index nodes of them, and shapes that are computed at run time; sizes are fixed here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.encoders import LEVELS, Encoder, FlattenedEncoder, PyramidEncoder
from ..precision import FLOAT32, Precision

Size = tuple[int, int]


def window_means(before: int, after: int) -> Tensor:
    """Adaptive average pooling along one axis, [after, before]: row i is the mean over its window."""
    matrix = torch.zeros(after, before)
    for i in range(after):
        first, end = i * before // after, -(-(i + 1) * before // after)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def corner_aligned(before: int, after: int) -> Tensor:
    """Linear interpolation along one axis with its ends aligned, [after, before]."""
    place = torch.arange(after) * ((before - 1) / max(after - 1, 1))
    return (1 - (place[:, None] - torch.arange(before)).abs()).clamp_min(0)


class Resampling(nn.Module):
    """``rows @ x @ columns``: [B, C, H, W] to another height and width."""

    def __init__(self, rows: Tensor, columns: Tensor, precision: Precision = FLOAT32) -> None:
        super().__init__()
        self.rows, self.columns = precision.parameter(rows), precision.parameter(columns.t().contiguous())

    def forward(self, x: Tensor, shape: torch.Size | None = None) -> Tensor:
        return self.rows @ (x @ self.columns)


class AveragePool(nn.Module):
    """Adaptive average pooling of a square drawing, float32: to a smaller square, or by repetition to a larger one."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.factor = before // after
        self.uneven = None
        if before % after:
            matrix = window_means(before, after)
            self.uneven = Resampling(matrix, matrix)

    def forward(self, x: Tensor) -> Tensor:
        if self.uneven is not None:
            return self.uneven(x)
        return F.avg_pool2d(x, self.factor) if self.factor > 1 else x


def fix_sizes(encoder: Encoder, size: Size, precision: Precision) -> None:
    """Put constant matrices in the place of an encoder's resampling, for inputs of ``size``."""
    if isinstance(encoder, FlattenedEncoder):
        side = encoder.shape.pool
        height, width = _size_behind(encoder, size, len(encoder.trunk_shape.units))
        encoder.output_layer_2[1] = Resampling(window_means(height, side), window_means(width, side))
    if isinstance(encoder, PyramidEncoder):
        ends = encoder.trunk_shape.ends[-LEVELS:]
        fine, middle, coarse = (_size_behind(encoder, size, end + 1) for end in ends)
        for level, (below, above) in enumerate(((coarse, middle), (middle, fine))):
            rows, columns = (corner_aligned(*sides) for sides in zip(below, above, strict=True))
            encoder.upsamples[level] = Resampling(rows, columns, precision)


def _size_behind(encoder: Encoder, size: Size, units: int) -> Size:
    """Height and width of the features behind so many units of the trunk."""
    shape = encoder.trunk_shape
    halvings = sum(unit.stride == 2 for unit in shape.units[:units]) + (shape.kind == "resnet")
    return -(-size[0] // (1 << halvings)), -(-size[1] // (1 << halvings))  # odd sides are rounded up
