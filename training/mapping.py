"""Trains the mapping network, a plain regression: where a latent z lies says what the face is made of."""

from collections.abc import Iterator
from pathlib import Path

import torch
from numpy.random import Generator as Random
from torch import Tensor

from ..export.networks.stylegan2 import Generator
from .generator import Codes
from .loop import Training, load_network, train
from .networks import Widths, new_generator
from .parameters import PARAMETERS


def parameters_of_latents(z: Tensor) -> Tensor:
    """``p_i = Phi(z_i)`` with Phi the normal distribution's: latents [B, style] to uniform parameters [B, 28]."""
    normalised = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
    return torch.special.ndtr(normalised[:, : len(PARAMETERS)])


def train_mapping(folder: Path, widths: Widths, steps: int, batch: int = 256, lr: float = 2e-3) -> None:
    """Train ``style.*``; put into the generator by `load_generator`."""
    torch.manual_seed(4)
    mapping, codes = new_generator(widths).style, Codes(widths.style)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        z = torch.from_numpy(random.standard_normal((batch, widths.style)).astype("float32"))
        loss = (mapping(z) - codes(parameters_of_latents(z))).square().mean()
        loss.backward()
        yield {"loss": loss.item()}

    # The layout stores these weights divided by 0.01, their learning-rate multiplier; Adam's steps are of one size.
    weights = [{"params": [p for p in mapping.parameters() if p.dim() == 2], "lr": lr * 100}]
    biases = [{"params": [p for p in mapping.parameters() if p.dim() == 1], "lr": lr * 20}]
    settings = {"batch": batch, "lr": lr}
    train(Training("mapping", {"style": mapping}, weights + biases, batches, settings), folder, steps)


def load_generator(folder: Path, widths: Widths) -> Generator:
    """The trained generator, its mapping network included, for inference."""
    generator = new_generator(widths)
    load_network(folder, "generator", generator)
    load_network(folder, "mapping", generator.style)
    return generator.eval()
