"""Seeded perceptual networks in the layouts of torchvision and LPIPS, for tests: nobody has trained them."""

import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...runtime.bundle.files import atomic_file
from .perceptual import ALEXNET, VGG16, Heads, Trunk, TrunkNetwork

#: Output channels of the published trunks' convolutions, and what tensors of each are drawn under.
CHANNELS = {
    VGG16: (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
    ALEXNET: (64, 192, 384, 256, 256),
}
PREFIXES = {VGG16: "vgg", ALEXNET: "alex"}


def write_lpips(folder: Path, trunk: Trunk, channels: tuple[int, ...] | None = None) -> tuple[Path, Path]:
    """Write a trunk and its heads to an existing folder, of the published widths unless others are given.

    Every tensor has a stream of its own, seeded by its name. Weights keep the spread of activations, heads are not
    negative, as LPIPS's are.
    """
    with torch.device("meta"):
        network = TrunkNetwork(trunk, channels or CHANNELS[trunk])
        taps = [network.features[str(block[-1].index)].out_channels for block in trunk.blocks]
        networks: dict[str, nn.Module] = {"trunk": network, "heads": Heads(taps)}
    paths = []
    for kind, each in networks.items():
        shapes = {name: tuple(tensor.shape) for name, tensor in each.state_dict().items()}
        state = {name: torch.from_numpy(_draw(f"{PREFIXES[trunk]}.{name}", shape)) for name, shape in shapes.items()}
        paths.append(folder / f"{PREFIXES[trunk]}.{kind}.pt")
        with atomic_file(paths[-1]) as partial:
            torch.save(state, partial)
    return paths[0], paths[1]


def _draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    noise = stream.standard_normal(shape, dtype=np.float32)
    if ".lin" in name:
        return np.float32(round(math.sqrt(1 / shape[1]), 8)) * np.abs(noise)
    spread = 0.05 if len(shape) == 1 else round(math.sqrt(2 / math.prod(shape[1:])), 8)
    return np.float32(spread) * noise
