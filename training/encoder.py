"""Trains the W-encoder: from pictures, half of them with extras, to the codes of the faces in them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import Generator as Random

from .album import Album
from .generator import Codes
from .loop import Training, train
from .networks import Widths, new_encoder
from .parameters import PARAMETERS

#: How much a parameter's error shows in the picture, about: 1 where it is not named.
_IMPORTANCE = {
    "background_light": 2,
    "background_warmth": 4,
    "background_green": 3,
    "skin_tone": 4,
    "hair_tone": 3,
    "hair_length": 3,
    "hair_volume": 2,
    "face_width": 2,
    "turn": 3,
    "shirt_warmth": 2,
    "shirt_green": 2,
}


def train_encoder(
    folder: Path, widths: Widths, steps: int, batch: int = 32, pictures: int = 20_000, lr: float = 3e-3
) -> None:
    """Train the encoder on the true codes; it never needs the generator.

    The published one is trained through the generator, for photos have no true codes; here every picture has one.
    """
    torch.manual_seed(2)
    encoder, codes = new_encoder(widths), Codes(widths.style)
    album = Album(pictures, widths.size, extras=True)
    importance = torch.tensor([float(_IMPORTANCE.get(name, 1)) for name in PARAMETERS])

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        photos, parameters = album(random.integers(0, pictures, batch))
        encoder.train(progress < 0.8)  # the last steps see the statistics that inference will see
        predicted = encoder(photos)[:, 0] + codes.centre
        difference = codes.parameters_of(predicted) - parameters
        outside = predicted - codes(codes.parameters_of(predicted))  # what no parameter explains
        loss = (importance * difference.square()).mean() + 0.1 * outside.square().mean()
        loss.backward()
        yield {"loss": loss.item(), "parameter_error": difference.abs().mean().item()}

    settings = {"batch": batch, "pictures": pictures, "lr": lr, "encoder": widths.encoder}
    groups = [{"params": list(encoder.parameters()), "lr": lr}]
    train(Training("encoder", {"encoder": encoder}, groups, batches, settings), folder, steps)
