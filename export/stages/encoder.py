"""Stage `encoder`: what an encoder looks at to W+ codes, the average code folded in or not."""

import torch
from torch import Tensor, nn

from ..networks.encoders import Encoder, StylesEncoder
from ..precision import FLOAT32, Precision, widen
from .branches import Branches
from .reduced import reduced
from .resampling import Size, fix_sizes


class EncoderStage(nn.Module):
    """``codes[b, i] = encoder(image[b])[i] + average[i]``: [B, C, H, W] to [B, styles, width], float32.

    Without an average, a ReStyle encoder's residual for photo and reconstruction. What makes codes of the last
    convolutions' ends, be it a mean and a linear map, stays float32.

    Args:
        encoder: the network.
        average: [styles, width], or None.
        size: height and width of the input.
        precision: of the convolutions.
    """

    def __init__(self, encoder: Encoder, average: Tensor | None, size: Size, precision: Precision = FLOAT32) -> None:
        super().__init__()
        self.precision = precision
        self.encoder = reduced(encoder, precision)
        fix_sizes(self.encoder, size, precision)
        self.branches = nn.ModuleList()
        if isinstance(encoder, StylesEncoder):
            self.branches.extend(Branches(stacks, precision) for stacks in self.encoder.stacks())
        self.average = None if average is None else nn.Parameter(average)

    def forward(self, image: Tensor, reconstruction: Tensor | None = None) -> Tensor:
        pictures = image if reconstruction is None else torch.cat([image, reconstruction], 1)
        ends = self.encoder.maps(self.precision.narrow(pictures))
        if len(self.branches):
            maps = zip(self.branches, ends, strict=True)
            ends = [end for branches, features in maps for end in branches(features)]
        codes = self.encoder.codes([widen(end) for end in ends])
        return codes if self.average is None else codes + self.average
