"""Stacks of convolutions on one feature map: those that begin alike share their first convolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..precision import Precision


class MergedFirstConvs(nn.Module):
    """The first convolutions of several stacks as one: they all read the same features."""

    def __init__(self, convs: list[nn.Conv2d], precision: Precision) -> None:
        super().__init__()
        self.weight = precision.parameter(torch.cat([conv.weight for conv in convs]))
        self.bias = precision.parameter(torch.cat([conv.bias for conv in convs if conv.bias is not None]))
        self.stride, self.widths = convs[0].stride, [conv.out_channels for conv in convs]

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        y = F.conv2d(features, self.weight, self.bias, self.stride, padding=1)
        return F.leaky_relu(y, 0.01).split(self.widths, 1)


class Branches(nn.Module):
    """The ends of ``conv_stack``s that all read one feature map, in order.

    Args:
        stacks: the stacks, in the precision's dtype already or not.
        precision: of the result.
    """

    def __init__(self, stacks: list[nn.Sequential], precision: Precision) -> None:
        super().__init__()
        strides: dict[tuple[int, ...], list[int]] = {}
        for row, stack in enumerate(stacks):
            strides.setdefault(_first(stack).stride, []).append(row)
        self.members = list(strides.values())
        self.merged = nn.ModuleList(
            MergedFirstConvs([_first(stacks[row]) for row in rows], precision) for rows in self.members
        )
        self.rest = nn.ModuleList(stack[2:] for stack in stacks)

    def forward(self, features: Tensor) -> list[Tensor]:
        ends: dict[int, Tensor] = {}
        for rows, merged in zip(self.members, self.merged, strict=True):
            for row, first in zip(rows, merged(features), strict=True):
                ends[row] = self.rest[row](first)
        return [ends[row] for row in range(len(ends))]


def _first(stack: nn.Sequential) -> nn.Conv2d:
    conv = stack[0]
    assert isinstance(conv, nn.Conv2d)
    return conv
