"""Trains the generator by regression: a code says what a face is made of, so the drawing of it is the target."""

from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import Generator as Random
from torch import Tensor, nn
from torch.nn import functional as F

from .album import Album
from .loop import Training, train
from .losses import feature_weight, picture_loss
from .networks import Widths, new_generator
from .parameters import PARAMETERS
from .synthesis import synthesize

#: Length of a parameter's direction in W: makes a coordinate's spread about that of a trained StyleGAN2.
W_SCALE = 2.0


class Codes(nn.Module):
    """The fixed map between parameters and W: ``w = centre + scale * Q (2 p - 1)``, Q's columns orthonormal.

    Every parameter is a direction in W by construction, and the average code is ``centre``.
    """

    def __init__(self, style: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        q = torch.linalg.qr(torch.randn(style, len(PARAMETERS), generator=random))[0]
        self.register_buffer("directions", q.T.contiguous())
        self.register_buffer("centre", 0.3 * torch.randn(style, generator=random))

    def forward(self, parameters: Tensor) -> Tensor:
        """Codes [B, style] of parameters [B, 28] in [0, 1]."""
        return self.centre + W_SCALE * (2 * parameters - 1) @ self.directions

    def parameters_of(self, codes: Tensor) -> Tensor:
        """Parameters [B, 28] nearest to codes [B, style]."""
        return ((codes - self.centre) @ self.directions.T / W_SCALE + 1) / 2


def growth(progress: float, levels: int) -> int:
    """How many levels above 4x4 are trained: small pictures first, for they cost little and hold most of a face.

    "Progressive Growing of GANs" (Karras et al., 2018).
    """
    return levels - 2 if progress < 0.25 else levels - 1 if progress < 0.5 else levels


def train_generator(
    folder: Path, widths: Widths, steps: int, batch: int = 16, pictures: int = 20_000, lr: float = 3e-3
) -> None:
    """Train the synthesis network; the mapping network is left as it was initialised."""
    torch.manual_seed(1)
    generator = new_generator(widths)
    album, codes = Album(pictures, widths.size, extras=False), Codes(widths.style)
    weight = feature_weight(widths.size)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        target, parameters = album(random.integers(0, pictures, batch))
        levels = growth(progress, len(widths.channels) - 1)
        shrink = widths.size // (4 << levels)
        drawn = synthesize(generator, codes(parameters), levels=levels)
        target = F.avg_pool2d(target, shrink)
        loss = picture_loss(drawn, target, F.avg_pool2d(weight[None, None], shrink)[0, 0])
        loss.backward()
        yield {"loss": loss.item(), "l2": (drawn.detach() - target).square().mean().item()}

    synthesis = [p for name, p in generator.named_parameters() if not name.startswith("style.")]
    settings = {"batch": batch, "pictures": pictures, "lr": lr, "channels": widths.channels, "style": widths.style}
    train(
        Training("generator", {"generator": generator}, [{"params": synthesis, "lr": lr}], batches, settings),
        folder,
        steps,
    )
