"""Trains the hypernetwork through its refinement steps, the generator and the encoder frozen (Alaluf et al., 2022)."""

from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import Generator as Random
from torch import Tensor

from ..export.networks.hypernetwork import HyperNetwork
from .album import Album
from .generator import Codes
from .loop import Training, load_network, train
from .losses import feature_weight, picture_loss
from .networks import Widths, new_encoder, new_generator, new_hypernetwork
from .synthesis import synthesize

STEPS = 5
#: Weight of what a refinement step makes worse than it found it: late steps have little left to gain, and would rise.
WORSE = 20.0


def refine(hypernet: HyperNetwork, photos: Tensor, y: Tensor, offsets: dict[int, Tensor]) -> dict[int, Tensor]:
    """One refinement step: the offsets so far, plus what the hypernetwork makes of photo and reconstruction."""
    features = hypernet.features(torch.cat([photos, y], 1).contiguous(memory_format=torch.channels_last))
    fresh = {int(index): block(features) for index, block in hypernet.refinement_blocks.items()}
    return {index: offset + offsets.get(index, 0.0) for index, offset in fresh.items()}


def l2(y: Tensor, photos: Tensor) -> Tensor:
    """Mean squared error of each picture, [B]."""
    return (y - photos).square().mean((1, 2, 3))


def refinement_steps(progress: float) -> int:
    """One step at first, then more, at last as many as are shown: errors of early steps are most of what there is."""
    return 1 if progress < 0.25 else 3 if progress < 0.5 else STEPS


def train_hypernetwork(
    folder: Path, widths: Widths, steps: int, batch: int = 8, pictures: int = 20_000, lr: float = 1e-3
) -> None:
    """Train on pictures half of which have extras.

    The loss is back-propagated at each refinement step by itself, the reconstruction and the offsets before it
    detached, and each gradient is used at once.
    """
    torch.manual_seed(3)
    hypernet = new_hypernetwork(widths)
    generator = load_network(folder, "generator", new_generator(widths)).requires_grad_(False)
    encoder = load_network(folder, "encoder", new_encoder(widths)).requires_grad_(False)
    centre = Codes(widths.style).centre
    album, weight = Album(pictures, widths.size, extras=True), feature_weight(widths.size, strength=1.0)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        photos, _ = album(random.integers(0, pictures, batch))
        hypernet.train(progress < 0.6)
        figures = {}
        with torch.no_grad():
            codes = encoder(photos)[:, 0] + centre
            y = synthesize(generator, codes)
        offsets: dict[int, Tensor] = {}
        found = l2(y, photos)
        figures["l2_0"] = found.mean().item()
        for step in range(1, refinement_steps(progress) + 1):
            offsets = refine(hypernet, photos, y, offsets)
            y = synthesize(generator, codes, offsets)
            left = l2(y, photos)
            loss = picture_loss(y, photos, weight) + WORSE * (left - found).clamp(min=0).mean()
            loss.backward()
            offsets, y = {index: offset.detach() for index, offset in offsets.items()}, y.detach()
            found = left.detach()
            figures[f"l2_{step}"] = found.mean().item()
            yield {"loss": loss.item()} if step < refinement_steps(progress) else {"loss": loss.item(), **figures}

    settings = {"batch": batch, "pictures": pictures, "lr": lr, "trunk": widths.trunk, "refinement_steps": STEPS}
    groups = [{"params": list(hypernet.parameters()), "lr": lr}]
    train(Training("hypernetwork", {"hypernet": hypernet}, groups, batches, settings), folder, steps)
