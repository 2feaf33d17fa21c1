"""Trains IDInvert's pair: a StyleGAN1 by regression, as the StyleGAN2 was, and the encoder of its codes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator as Random
from torch import Tensor, nn
from torch.nn import functional as F

from ..export.networks.residual_encoder import ResidualEncoder
from ..export.networks.stylegan1 import StyleGan1, Synthesis
from ..runtime.bundle.files import atomic_file
from .album import Album
from .generator import Codes, growth
from .inversion import WEIGHTS
from .loop import Training, load_network, train
from .losses import feature_weight, picture_loss
from .networks import Widths

#: The names of the trainings, and of what is written of them.
GENERATOR, ENCODER = "stylegan1", "idinvert"


def new_stylegan1(widths: Widths) -> StyleGan1:
    """StyleGAN1 as it starts: styles change nothing, and its fixed noises count for nothing."""
    generator = StyleGan1(widths.stylegan1)
    for name, tensor in generator.state_dict().items():
        if name.endswith("blur.kernel"):
            taps = torch.tensor([1.0, 2.0, 1.0])
            tensor.copy_(torch.outer(taps, taps) / 16)
        elif name.endswith((".bias", "apply_noise.weight", "lod")):
            nn.init.zeros_(tensor)
        else:
            # The mapping's weights are stored divided by their learning-rate multiplier.
            nn.init.normal_(tensor, std=100.0 if name.startswith("mapping.") else 1.0)
    generator.truncation.w_avg.copy_(Codes(widths.style).centre)
    return generator


def new_residual_encoder(widths: Widths) -> ResidualEncoder:
    """IDInvert's encoder as it starts."""
    encoder = ResidualEncoder(widths.residual_encoder)
    for name, parameter in encoder.named_parameters():
        if "wscale" in name:
            nn.init.zeros_(parameter)
        elif name.endswith("fc.weight"):
            nn.init.normal_(parameter)
    return encoder


def synthesize(synthesis: Synthesis, codes: Tensor, level: int) -> Tensor:
    """Pictures [B, 3, 4 << level, 4 << level] of codes W+: every level of StyleGAN1 has a map to RGB of its own."""
    x = synthesis.get_submodule("layer0")(codes[:, 0])
    for index in range(1, 2 * level + 2):
        x = synthesis.get_submodule(f"layer{index}")(x, codes[:, index])
    return synthesis.get_submodule(f"output{level}")(x).tanh()


def train_stylegan1(
    folder: Path, widths: Widths, steps: int, batch: int = 16, pictures: int = 20_000, lr: float = 3e-3
) -> None:
    """Train the synthesis network; the mapping network, which no inversion runs, is left as it was initialised."""
    torch.manual_seed(7)
    generator, codes = new_stylegan1(widths), Codes(widths.style)
    album, weight = Album(pictures, widths.size, extras=False), feature_weight(widths.size)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        target, parameters = album(random.integers(0, pictures, batch))
        level = growth(progress, len(widths.channels) - 1)
        rows = codes(parameters)[:, None].expand(-1, widths.stylegan1.styles, -1)
        drawn = synthesize(generator.synthesis, rows, level)
        shrink = widths.size // (4 << level)
        target = F.avg_pool2d(target, shrink)
        loss = picture_loss(drawn, target, F.avg_pool2d(weight[None, None], shrink)[0, 0])
        loss.backward()
        yield {"loss": loss.item(), "l2": (drawn.detach() - target).square().mean().item()}

    settings = {"batch": batch, "pictures": pictures, "lr": lr, "channels": widths.channels, "style": widths.style}
    groups = [{"params": list(generator.synthesis.parameters()), "lr": lr}]
    train(Training(GENERATOR, {"generator": generator}, groups, batches, settings), folder, steps)


def train_idinvert(
    folder: Path, widths: Widths, steps: int, batch: int = 16, pictures: int = 20_000, lr: float = 3e-3
) -> None:
    """Train the encoder: on the true codes for a half, then through the frozen generator, held to them as e4e's is.

    The authors' discriminator, which keeps reconstructions real, is replaced by the true codes of drawn pictures.
    """
    torch.manual_seed(8)
    generator = load_network(folder, GENERATOR, new_stylegan1(widths)).requires_grad_(False)
    encoder, codes, weights = new_residual_encoder(widths), Codes(widths.style), WEIGHTS["e4e"]
    album, weight = Album(pictures, widths.size, extras=True), feature_weight(widths.size, strength=1.0)

    def batches(random: Random, progress: float) -> Iterator[dict[str, float]]:
        indices = random.integers(0, pictures, batch)
        photos, parameters = album(indices)
        true = codes(parameters)[:, None]
        through = progress >= 0.5
        encoder.train(not through)
        found = encoder(photos)
        apart = (found - true).square().mean((1, 2))
        figures = {"codes": apart.mean().item()}
        if through:
            drawn = generator.synthesis(found)
            held = torch.from_numpy(np.where(indices % 2, weights.extras, weights.plain)).float()
            loss = picture_loss(drawn, photos, weight) + (held * apart).mean()
            figures["l2"] = (drawn.detach() - photos).square().mean().item()
        else:
            loss = apart.mean()
        loss.backward()
        yield {"loss": loss.item(), **figures}

    settings = {"batch": batch, "pictures": pictures, "lr": lr, "shape": str(encoder.shape), **vars(weights)}
    groups = [{"params": list(encoder.parameters()), "lr": lr}]
    train(Training(ENCODER, {"encoder": encoder}, groups, batches, settings), folder, steps)


def files(folder: Path) -> tuple[Path, Path]:
    """Where the generator and the encoder are: what `export` takes."""
    return folder / f"{GENERATOR}.pth", folder / f"{ENCODER}.pth"


def write_idinvert(folder: Path, target: Path, widths: Widths) -> None:
    """Write both networks as IDInvert's authors do, a bare state dict each."""
    target.mkdir(parents=True, exist_ok=True)
    trained = {GENERATOR: new_stylegan1(widths), ENCODER: new_residual_encoder(widths)}
    for path, (name, network) in zip(files(target), trained.items(), strict=True):
        with atomic_file(path) as partial:
            torch.save(load_network(folder, name, network).state_dict(), partial)
