"""Measures the trained model on pictures that training never drew: refinement with and without extras, directions."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..export.networks.encoders import Encoder
from ..export.networks.hypernetwork import HyperNetwork
from ..export.networks.stylegan2 import Generator
from ..runtime.quality.metrics import ms_ssim, paper_input
from .generator import Codes
from .hypernetwork import STEPS, refine
from .loop import load_network
from .mapping import load_generator
from .model import DIRECTIONS
from .networks import Widths, new_encoder, new_hypernetwork
from .parameters import HELD_OUT, PARAMETERS, sample
from .pictures import draw
from .synthesis import synthesize

PICTURES, BATCH, STRIPS = 500, 25, 20
#: Every how many pictures MS-SSIM is taken, which costs more than all the rest.
SSIM_EVERY = 10


@dataclass(frozen=True)
class Networks:
    """The trained networks, for inference in float32."""

    generator: Generator
    encoder: Encoder
    hypernet: HyperNetwork
    codes: Codes


def load_networks(folder: Path, widths: Widths) -> Networks:
    """Networks as the trainings in ``folder`` left them."""
    return Networks(
        load_generator(folder, widths),
        load_network(folder, "encoder", new_encoder(widths)),
        load_network(folder, "hypernetwork", new_hypernetwork(widths)),
        Codes(widths.style),
    )


@torch.no_grad()
def invert(networks: Networks, photos: Tensor, steps: int = STEPS) -> list[Tensor]:
    """Reconstructions [B, 3, size, size] after 0, 1, ... ``steps`` refinement steps."""
    codes = networks.encoder(photos)[:, 0] + networks.codes.centre
    reconstructions = [synthesize(networks.generator, codes)]
    offsets: dict[int, Tensor] = {}
    for _ in range(steps):
        offsets = refine(networks.hypernet, photos, reconstructions[-1], offsets)
        reconstructions.append(synthesize(networks.generator, codes, offsets))
    return reconstructions


def evaluate(folder: Path, widths: Widths, target: Path, pictures: int = PICTURES) -> dict:
    """Write `evaluation.json` and `strips.png` to ``target``: the figures of the model card."""
    networks = load_networks(folder, widths)
    parameters, extras = sample(range(HELD_OUT, HELD_OUT + pictures))
    strips = _Strips()
    figures = {
        "pictures": pictures,
        "first_seed": HELD_OUT,
        "with_extras": _refinement(networks, parameters, extras, widths.size, strips),
        "without_extras": _refinement(networks, parameters, None, widths.size, None),
        "generator_l2": _generator_error(networks, parameters, widths.size),
        "directions": _selectivity(networks, parameters[:100]),
    }
    target.mkdir(parents=True, exist_ok=True)
    (target / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
    strips.save(target / "strips.png")
    return figures


class _Strips:
    """Rows of pictures: a photo, then its reconstructions; in two columns."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.uint8]] = []

    def add(self, photos: Tensor, reconstructions: list[Tensor]) -> None:
        for i in range(min(len(photos), STRIPS - len(self.rows))):
            row = torch.cat([photos[i], *(y[i] for y in reconstructions)], 2)
            self.rows.append(_pixels(row))

    def save(self, path: Path) -> None:
        half = len(self.rows) // 2
        gap = np.full((half * len(self.rows[0]), 16, 3), 255, np.uint8)
        columns = np.concatenate(self.rows[:half]), gap, np.concatenate(self.rows[half : 2 * half])
        Image.fromarray(np.concatenate(columns, 1)).save(path)


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def _refinement(
    networks: Networks, parameters: Tensor, extras: Tensor | None, size: int, strips: _Strips | None
) -> dict[str, list[float]]:
    errors, similarities = [], []
    for start in range(0, len(parameters), BATCH):
        part = slice(start, start + BATCH)
        photos = draw(parameters[part], size, None if extras is None else extras[part])
        reconstructions = invert(networks, photos)
        errors.append(torch.stack([(y - photos).square().mean((1, 2, 3)) for y in reconstructions]))
        for i in range(0, len(photos), SSIM_EVERY):
            photo = paper_input(Image.fromarray(_pixels(photos[i])))
            results = [paper_input(Image.fromarray(_pixels(y[i]))) for y in reconstructions]
            similarities.append([ms_ssim(result, photo) for result in results])
        if strips is not None:
            strips.add(photos, reconstructions)
    by_step = torch.cat(errors, 1).double()
    return {
        "l2_mean": by_step.mean(1).tolist(),
        "l2_std": by_step.std(1).tolist(),
        "of_step_0": (by_step.mean(1) / by_step[0].mean()).tolist(),
        # Where structure is opposite MS-SSIM has no value: such pictures are left out, and counted.
        "ms_ssim_mean": np.nanmean(similarities, 0).tolist(),
        "ms_ssim_std": np.nanstd(similarities, 0).tolist(),
        "ms_ssim_without_value": np.isnan(similarities).sum(0).tolist(),
    }


@torch.no_grad()
def _generator_error(networks: Networks, parameters: Tensor, size: int) -> float:
    """L2 between drawings and what the generator makes of their true codes."""
    parts = parameters.split(BATCH)
    errors = [(synthesize(networks.generator, networks.codes(p)) - draw(p, size)).square().mean().item() for p in parts]
    return float(np.mean(errors))


@torch.no_grad()
def _selectivity(networks: Networks, parameters: Tensor) -> dict[str, dict]:
    """What moving along each direction changes, by the encoder's reading of the pictures.

    The mean change of the direction's own parameter, of the other parameter that changes most, and their ratio.
    """
    result = {}
    for parameter, name in DIRECTIONS.items():
        index = PARAMETERS.index(parameter)
        ends = []
        for value in (0.2, 0.8):
            moved = parameters.clone()
            moved[:, index] = value
            picture = synthesize(networks.generator, networks.codes(moved))
            ends.append(networks.codes.parameters_of(networks.encoder(picture)[:, 0] + networks.codes.centre))
        change = (ends[1] - ends[0]).mean(0)
        others = change.abs().clone()
        others[index] = 0
        most = int(others.argmax())
        result[name] = {
            "own": round(change[index].item(), 4),
            "most_changed_other": [PARAMETERS[most], round(change[most].item(), 4)],
            "ratio": round((change[index].abs() / others[most]).item(), 2),
        }
    return result
