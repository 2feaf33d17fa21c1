"""Stage `hypernet`: photo and reconstruction to offset codes, the part of the hypernetwork without large outputs."""

import torch
from torch import Tensor, nn

from ..networks.hypernetwork import HyperNetwork
from ..networks.trunk import trunk_of
from ..precision import FLOAT32, Precision, widen
from .branches import Branches
from .reduced import reduced


class HypernetStage(nn.Module):
    """Offset codes of one refinement step, [B, n_tuned, code], from two images [B, 3, H, W] in [-1, 1], float32.

    The mean at the end of each branch and the linear map behind it stay float32: codes are summed over the steps.
    """

    def __init__(self, hypernet: HyperNetwork, precision: Precision = FLOAT32) -> None:
        super().__init__()
        self.precision = precision
        self.trunk = reduced(trunk_of(hypernet), precision)
        blocks = list(hypernet.refinement_blocks.children())
        self.branches = Branches([reduced(block.get_submodule("convs"), precision) for block in blocks], precision)
        self.linears = nn.ModuleList(block.get_submodule("linear") for block in blocks)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        features = self.trunk.features(self.precision.narrow(torch.cat([image, reconstruction], 1)))
        ends = zip(self.linears, self.branches(features), strict=True)
        return torch.stack([linear(widen(end).mean((2, 3))) for linear, end in ends], 1)
