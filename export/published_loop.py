"""The refinement loop on the published networks in PyTorch: what bundles are verified against."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from .hyperstyle import HyperStyle

POOLED = 256


@dataclass(frozen=True)
class ReferenceStep:
    """One state of the loop on the host, float32.

    ``codes`` are [B, n_styles, 512], ``offsets`` by layer [B, out, in, k, k], ``image`` [B, 3, height, width].
    """

    index: int
    codes: NDArray[np.float32]
    offsets: dict[int, NDArray[np.float32]]
    image: NDArray[np.float32]


@torch.no_grad()
def refine(model: HyperStyle, images: NDArray[np.float32], steps: int) -> Iterator[ReferenceStep]:
    """Run the authors' formulation: offsets of every step summed, styled weights, one group a photo.

    Args:
        model: the loaded networks.
        images: photos [B, 3, H, W] float32 in [-1, 1].
        steps: refinement steps.

    Yields:
        ``steps + 1`` states, the first before refinement.
    """
    x = torch.from_numpy(images)
    first, last = model.config.image.rows
    codes = model.encoder(x)[:, None] + model.latent_avg
    offsets: dict[int, torch.Tensor] = {}
    for index in range(steps + 1):
        image = model.generator(codes, offsets)
        shown = {layer: offset.numpy() for layer, offset in offsets.items()}
        yield ReferenceStep(index, codes.numpy(), shown, image[:, :, first:last].numpy())
        if index == steps:
            return
        y = F.adaptive_avg_pool2d(image, POOLED)
        y = y[:, :, 32:224] if model.config.cars else y
        new = model.hypernet(torch.cat([x, y], 1))
        offsets = {layer: offset + offsets[layer] if offsets else offset for layer, offset in new.items()}
