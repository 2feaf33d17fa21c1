"""The loop of every method on the published networks in PyTorch: what bundles are verified against."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..runtime.manifest.manifest import ImageSpec
from .methods.model import AnyModel, IdInvertModel, Model


@dataclass(frozen=True)
class ReferenceStep:
    """One state of the loop on the host, float32.

    ``codes`` are [B, styles, width], ``offsets`` by layer [B, out, in, k, k], ``image`` [B, 3, height, width].
    """

    index: int
    codes: NDArray[np.float32]
    offsets: dict[int, NDArray[np.float32]]
    image: NDArray[np.float32]


@torch.no_grad()
def refine(model: AnyModel, images: NDArray[np.float32], steps: int) -> Iterator[ReferenceStep]:
    """Run the authors' formulation: offsets of every step summed, styled weights, one group a photo.

    Args:
        model: the loaded networks.
        images: what the encoder looks at, [B, C, H, W] float32.
        steps: refinement steps, 0 for a method without, and for IDInvert, whose steps follow a gradient.

    Yields:
        ``steps + 1`` states, the first before refinement.
    """
    x = torch.from_numpy(images)
    if isinstance(model, IdInvertModel):
        codes = model.encoder(x)
        yield ReferenceStep(0, codes.numpy(), {}, model.generator(codes).numpy())
        return
    assert isinstance(model, Model)
    first, last = model.image.rows
    codes, offsets = _start(model, x), dict[int, Tensor]()
    for index in range(steps + 1):
        image = model.generator(codes, offsets)
        shown = {layer: offset.numpy() for layer, offset in offsets.items()}
        yield ReferenceStep(index, codes.numpy(), shown, image[:, :, first:last].numpy())
        if index == steps:
            return
        pair = torch.cat([x, reconstruction(image, model.image)], 1)
        if model.hypernet is None:
            codes = codes + model.encoder(pair)
        else:
            new = model.hypernet(pair)
            offsets = {layer: offset + offsets[layer] if offsets else offset for layer, offset in new.items()}


def reconstruction(image: Tensor, spec: ImageSpec) -> Tensor:
    """A drawing as the networks look at it: pooled to a square, of which the middle rows are kept."""
    pooled = F.adaptive_avg_pool2d(image, spec.input_width)
    margin = (spec.input_width - spec.input_height) // 2
    return pooled[:, :, margin : margin + spec.input_height]


def _start(model: Model, x: Tensor) -> Tensor:
    """Codes before refinement."""
    if model.average is not None:
        return model.encoder(x) + model.average
    codes = (model.loop or model).latent_avg.expand(len(x), -1, -1)
    if model.loop is not None:
        for _ in range(model.method.encoder_steps):
            pair = torch.cat([x, reconstruction(model.loop.generator(codes), model.image)], 1)
            codes = codes + model.encoder(pair)
    return codes
