"""Stage `hypernet`: photo and reconstruction to offset codes, the part of the hypernetwork without large outputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import Layer
from ..networks.hypernetwork import HyperNetwork, SharedRefinement, Trunk
from ..precision import FLOAT32, Precision, widen
from .reduced import reduced


class MergedFirstConvs(nn.Module):
    """The first convolutions of several refinement blocks as one: they all read the trunk's features."""

    def __init__(self, convs: list[nn.Conv2d], precision: Precision) -> None:
        super().__init__()
        self.weight = precision.parameter(torch.cat([conv.weight for conv in convs]))
        self.bias = precision.parameter(torch.cat([conv.bias for conv in convs]))
        self.stride, self.count = convs[0].stride, len(convs)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        y = F.conv2d(features, self.weight, self.bias, self.stride, padding=1)
        return F.leaky_relu(y, 0.01).chunk(self.count, 1)


class HypernetStage(nn.Module):
    """Offset codes of one refinement step, [B, n_tuned, 512], from two images [B, 3, H, W] in [-1, 1], float32.

    The mean at the end of each branch and the linear map behind it stay float32: codes are summed over the steps.
    """

    def __init__(self, hypernet: HyperNetwork, layers: tuple[Layer, ...], precision: Precision = FLOAT32) -> None:
        super().__init__()
        self.precision = precision
        self.trunk = reduced(_trunk(hypernet), precision)
        self.tuned = [layer for layer in layers if layer.tuned]
        blocks = [hypernet.refinement_blocks[str(layer.index)] for layer in self.tuned]
        self.merged, self.members = nn.ModuleList(), []
        for shared in (True, False):
            members = [row for row, block in enumerate(blocks) if isinstance(block, SharedRefinement) is shared]
            if members:
                self.members.append(members)
                self.merged.append(MergedFirstConvs([blocks[row].convs[0] for row in members], precision))
        self.rest = nn.ModuleList(reduced(block.convs[2:], precision) for block in blocks)
        self.linears = nn.ModuleList(getattr(block, "linear", nn.Identity()) for block in blocks)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        features = self.trunk.features(self.precision.narrow(torch.cat([image, reconstruction], 1)))
        codes: dict[int, Tensor] = {}
        for members, merged in zip(self.members, self.merged, strict=True):
            for row, first in zip(members, merged(features), strict=True):
                codes[row] = self.linears[row](widen(self.rest[row](first)).mean((2, 3)))
        return torch.stack([codes[row] for row in range(len(self.tuned))], 1)


def _trunk(hypernet: HyperNetwork) -> Trunk:
    """The hypernetwork without its branches, which this stage has in another form."""
    with torch.device("meta"):
        trunk = Trunk()
    for name, _ in trunk.named_children():
        setattr(trunk, name, hypernet.get_submodule(name))
    return trunk
