"""Trains the encoders of pSp, e4e and ReStyle: from pictures to codes W+, through the frozen generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator as Random
from torch import Tensor
from torch.nn import functional as F

from ..export.methods.inversion import ITERATIVE
from ..export.networks.encoders import Encoder, build_encoder
from .album import Album
from .generator import Codes, growth
from .hypernetwork import refinement_steps
from .loop import Training, load_network, train
from .losses import feature_weight, picture_loss
from .networks import Widths, new_encoder, new_generator, new_inversion_encoder
from .synthesis import synthesize


@dataclass(frozen=True)
class Weights:
    """Of terms beside the picture loss: distances from the true code, and of the rows from the first one.

    A picture without extras is what its true code says (``plain``); hats and glasses are in no code, and want freedom
    (``extras``). Held to it all the same, and together, codes stay where edits work, which is what e4e is for (Tov et
    al., 2021): its discriminator of codes is replaced by the true codes, which drawn pictures have.
    """

    plain: float = 1.0
    extras: float = 0.0
    apart: float = 0.0


WEIGHTS = {
    "psp": Weights(),
    "e4e": Weights(extras=0.2, apart=0.2),
    "restyle-psp": Weights(),
    "restyle-e4e": Weights(extras=0.2, apart=0.2),
}


#: The training whose encoder each starts from.
STARTS = {"psp": "encoder", "e4e": "psp", "restyle-psp": "encoder", "restyle-e4e": "restyle-psp"}


def differing_rows(progress: float, rows: int) -> int:
    """How many rows of a progressive encoder may differ from the first: one more at a time, all from the middle on."""
    return min(rows, 1 + int(2 * progress * rows))


def encode(encoder: Encoder, photos: Tensor, y: Tensor, rows: int | None = None) -> Tensor:
    """What the encoder adds to codes [B, styles, style]; the rows behind the first ``rows`` are as the first one."""
    pairs = encoder.shape.trunk.input_channels > photos.shape[1]
    x = torch.cat([photos, y], 1) if pairs else photos
    codes = encoder(x.contiguous(memory_format=torch.channels_last))
    if rows is None:
        return codes
    return torch.cat([codes[:, :rows], codes[:, :1].expand(-1, codes.shape[1] - rows, -1)], 1)


def train_inversion(
    method: str, folder: Path, widths: Widths, steps: int, batch: int = 8, pictures: int = 20_000, lr: float = 3e-3
) -> None:
    """Train the encoder of ``method`` on pictures half of which have extras.

    ReStyle's is trained as it runs, from the average code on: each correction is back-propagated by itself, what came
    before it detached (Alaluf et al., 2021).
    """
    torch.manual_seed(5)
    generator = load_network(folder, "generator", new_generator(widths)).requires_grad_(False)
    encoder = new_inversion_encoder(widths, method, _start(folder, widths, method))
    map_, styles, weights = Codes(widths.style), widths.generator.styles, WEIGHTS[method]
    average = map_.centre.expand(batch, styles, -1)
    with torch.no_grad():
        average_image = synthesize(generator, average)
    album, weight = Album(pictures, widths.size, extras=True), feature_weight(widths.size, strength=1.0)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        indices = random.integers(0, pictures, batch)
        photos, parameters = album(indices)
        true = map_(parameters)[:, None]
        held = torch.from_numpy(np.where(indices % 2, weights.extras, weights.plain)).float()
        encoder.train(progress < 0.5)  # statistics of eight pictures are noise in codes: the rest sees inference's
        rows = differing_rows(progress, styles) if encoder.shape.progressive else None
        # Any number of corrections up to those that are due: the first are most of what there is to learn.
        corrections = 1 + int(random.integers(refinement_steps(progress))) if method in ITERATIVE else 1
        levels = growth(progress, len(widths.channels) - 1)
        shrink = widths.size // (4 << levels)
        target, importance = F.avg_pool2d(photos, shrink), F.avg_pool2d(weight[None, None], shrink)[0, 0]
        codes, y, figures = average, average_image, {}
        for step in range(1, corrections + 1):
            codes = codes.detach() + encode(encoder, photos, y.detach(), rows)
            small = synthesize(generator, codes, levels=levels)
            loss = picture_loss(small, target, importance) + (held * (codes - true).square().mean((1, 2))).mean()
            loss = loss + weights.apart * (codes - codes[:, :1]).square().mean()
            loss.backward()
            y = F.interpolate(small, size=photos.shape[2:])
            figures[f"l2_{step}"] = (small.detach() - target).square().mean().item()
            yield {"loss": loss.item()} if step < corrections else {"loss": loss.item(), **figures}

    settings = {"batch": batch, "pictures": pictures, "lr": lr, "shape": str(encoder.shape), **vars(weights)}
    groups = [{"params": list(encoder.parameters()), "lr": lr}]
    train(Training(method, {"encoder": encoder}, groups, batches, settings), folder, steps)


def _start(folder: Path, widths: Widths, method: str) -> Encoder:
    start = STARTS[method]
    network = build_encoder(widths.inversion_encoder(start)) if start in STARTS else new_encoder(widths)
    return load_network(folder, start, network)
