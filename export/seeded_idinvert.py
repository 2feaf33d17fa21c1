"""Seeded checkpoints in the layout of IDInvert's authors: a generator, an encoder and the network of the loss."""

import math
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.bundle.files import atomic_file
from .gradients.perceptual import VGG16
from .methods.idinvert import empty_encoder, empty_generator
from .networks.residual_encoder import ResidualShape
from .networks.stylegan1 import StyleGan1Shape

_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16
#: A tensor's name -> mean, spread, and whether the spread is over the root of what goes into a number.
_RULES = tuple(
    (re.compile(pattern), mean, spread, by_fan)
    for pattern, mean, spread, by_fan in (
        (r"^generator/mapping.*fc\.weight$", 0.0, 100.0, False),
        (r"^generator/mapping.*bias$", 0.0, 10.0, False),
        (r"w_avg$", 0.0, 0.3, False),
        (r"^generator/.*style_mod.*fc\.weight$", 0.0, 0.5, False),
        (r"^generator/.*output\d\.conv\.weight$", 0.0, 0.4, False),
        (r"^generator/.*(bias|apply_noise\.weight)$", 0.0, 0.1, False),
        (r"^generator/", 0.0, 1.0, False),
        (r"^encoder/block[1-9]\.conv\.weight$", 0.0, 1.0, True),
        (r"^encoder/.*conv\d?\.weight$", 0.0, math.sqrt(1.2), True),
        (r"^encoder/.*fc\.weight$", 0.0, 0.35, False),
        (r"^encoder/.*bn\.weight$", 1.0, 0.05, False),
        (r"^encoder/", 0.0, 0.05, False),
        (r"^vgg16/.*weight$", 0.0, math.sqrt(2.0), True),
        (r"^vgg16/", 0.0, 0.1, False),
    )
)


@dataclass(frozen=True)
class IdInvertSizes:
    """Widths of generator and encoder, and the output channels of the loss's 13 convolutions."""

    generator: StyleGan1Shape
    channels: tuple[int, ...]
    hidden: tuple[int, ...]
    vgg16: tuple[int, ...]

    @property
    def encoder(self) -> ResidualShape:
        """The encoder of the generator."""
        return ResidualShape(self.channels, self.hidden, 4, self.generator.styles, self.generator.width)


#: The published networks at 256.
PUBLISHED256 = IdInvertSizes(
    StyleGan1Shape((512, 512, 512, 512, 256, 128, 64), (False,) * 4 + (True,) * 2, 512, 8, 512, 512),
    (64, 128, 256, 512, 1024, 1024, 1024),
    (64, 128, 256, 512, 1024, 1024),
    (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
)
#: The smallest with every part that they have: 32 pixels in and out, both kinds of up-convolution and of block.
TINY_IDINVERT = IdInvertSizes(
    StyleGan1Shape((14, 14, 12, 10), (False, False, True), 18, 3, 16, 20),
    (8, 12, 16, 16),
    (8, 12, 16),
    (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
)


def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """Draw a tensor by its name behind "generator/", "encoder/" or "vgg16/": each has a stream of its own."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("synthesis.lod"):
        return np.zeros(shape, np.float32)
    if name.endswith("blur.kernel"):
        return np.tile(_BLUR, (shape[0], 1, 1, 1)).astype(np.float32)
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    noise = stream.standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return np.float32(0.8) + np.float32(0.25) * np.abs(noise)
    mean, spread, by_fan = next(rule[1:] for rule in _RULES if rule[0].search(name))
    spread = round(spread / math.sqrt(math.prod(shape[1:])), 8) if by_fan else spread
    return np.float32(mean) + np.float32(spread) * noise


def write_idinvert(folder: Path, sizes: IdInvertSizes = TINY_IDINVERT) -> tuple[Path, Path, Path]:
    """Write generator, encoder and VGG16 to an existing folder: what `export` takes, and behind --vgg16.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    networks = {"generator": empty_generator(sizes.generator), "encoder": empty_encoder(sizes.encoder)}
    paths = [_written(folder, part, _shapes(network)) for part, network in networks.items()]
    return paths[0], paths[1], _written(folder, "vgg16", _vgg16_shapes(sizes.vgg16))


def _shapes(network: nn.Module) -> Iterable[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]


def _vgg16_shapes(channels: tuple[int, ...]) -> Iterable[tuple[str, tuple[int, ...]]]:
    indices = [convolution.index for block in VGG16.blocks for convolution in block]
    for index, before, after in zip(indices, (3, *channels), channels, strict=False):
        yield f"layer{index}.weight", (after, before, 3, 3)
        yield f"layer{index}.bias", (after,)


def _written(folder: Path, part: str, shapes: Iterable[tuple[str, tuple[int, ...]]]) -> Path:
    state: dict[str, Tensor] = {name: torch.from_numpy(draw(f"{part}/{name}", shape)) for name, shape in shapes}
    path = folder / f"{part}.pth"
    with atomic_file(path) as partial:
        torch.save(state, partial)
    return path
