"""Measures the trained model on pictures that training never drew: refinement with and without extras, directions."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..demo import CHECKPOINT, ENCODER
from ..export.checkpoint import read_checkpoint
from ..export.methods.inversion import load_inversion
from ..export.methods.model import NO_CHOICES, Model
from ..export.networks.encoders import Encoder
from ..export.networks.hypernetwork import HyperNetwork
from ..export.networks.stylegan2 import Generator
from ..export.published_loop import refine as refine_published
from ..runtime.quality.metrics import ms_ssim, paper_input
from .checkpoints import encoder_file, join
from .generator import Codes
from .hypernetwork import STEPS, refine
from .inversion import WEIGHTS
from .model import DIRECTIONS
from .networks import Widths, new_encoder, new_generator, new_hypernetwork
from .parameters import HELD_OUT, PARAMETERS, sample
from .pictures import draw
from .synthesis import synthesize

PICTURES, BATCH, STRIPS = 500, 25, 20
#: Of the pictures, how many directions and the other encoders are measured on.
FEW = 100
#: How far parameters are moved to see what a direction does.
STEP = 0.1
#: Every how many pictures MS-SSIM is taken, which costs more than all the rest.
SSIM_EVERY = 10


@dataclass(frozen=True)
class Networks:
    """The trained networks, for inference in float32."""

    generator: Generator
    encoder: Encoder
    hypernet: HyperNetwork
    codes: Codes


def load_networks(model: Path, widths: Widths) -> Networks:
    """Networks as their files in ``model`` hold them."""
    hyperstyle, w_encoder = (read_checkpoint(model / name) for name in (CHECKPOINT.name, ENCODER.name))
    generator, encoder, hypernet = new_generator(widths), new_encoder(widths), new_hypernetwork(widths)
    generator.load_state_dict(hyperstyle.part("decoder"))
    encoder.load_state_dict(w_encoder.part("encoder"))
    hypernet.load_state_dict(hyperstyle.part("hypernet"))
    return Networks(generator.eval(), encoder.eval(), hypernet.eval(), Codes(widths.style))


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


def evaluate(model: Path, widths: Widths, target: Path, pictures: int = PICTURES) -> dict:
    """Write `evaluation.json` and `strips.png` to ``target``: the figures of the card of the model in ``model``."""
    networks = load_networks(model, widths)
    parameters, extras = sample(range(HELD_OUT, HELD_OUT + pictures))
    strips = _Strips()
    figures = {
        "pictures": pictures,
        "first_seed": HELD_OUT,
        "with_extras": _refinement(networks, parameters, extras, widths.size, strips),
        "without_extras": _refinement(networks, parameters, None, widths.size, None),
        "generator_l2": _generator_error(networks, parameters, widths.size),
        "directions": _selectivity(networks, parameters[:FEW], widths.size),
        "encoders": _encoders(model, parameters[:FEW], extras[:FEW], widths.size),
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
def _selectivity(networks: Networks, parameters: Tensor, size: int) -> dict[str, dict]:
    """What moving along each direction changes in the generated picture, in the renderer's own terms.

    Of a small move the pictures' difference is explained by the drawings' derivatives by all 28 parameters (least
    squares, with a little weight on small answers: some parameters do not show in some faces). The mean change of the
    direction's own parameter, of the other one that changes most, and their ratio.
    """
    changes: dict[str, list[Tensor]] = {name: [] for name in DIRECTIONS.values()}
    for part in parameters.clamp(STEP, 1 - STEP).split(BATCH):
        drawn = [_moved(lambda p: draw(p, size), part, index) for index in range(len(PARAMETERS))]
        derivatives = torch.stack(drawn, 2)  # [B, numbers of a picture, 28]
        normal = derivatives.transpose(1, 2) @ derivatives
        ridge = 1e-3 * normal.diagonal(dim1=1, dim2=2).mean() * torch.eye(len(PARAMETERS))
        for parameter, name in DIRECTIONS.items():
            moved = _moved(
                lambda p: synthesize(networks.generator, networks.codes(p)), part, PARAMETERS.index(parameter)
            )
            right = derivatives.transpose(1, 2) @ moved[:, :, None]
            changes[name].append(torch.linalg.solve(normal + ridge, right)[:, :, 0])
    result = {}
    for parameter, name in DIRECTIONS.items():
        change = torch.cat(changes[name]).mean(0)
        others = change.abs()
        others[PARAMETERS.index(parameter)] = 0
        own, most = change[PARAMETERS.index(parameter)], int(others.argmax())
        result[name] = {
            "own": round(own.item(), 4),
            "most_changed_other": [PARAMETERS[most], round(change[most].item(), 4)],
            "ratio": round((own.abs() / others[most]).item(), 2),
        }
    return result


def _encoders(model: Path, parameters: Tensor, extras: Tensor, size: int) -> dict[str, dict]:
    """Of every other encoder: L2 of what it draws, ReStyle's after each correction, and how far its codes are apart."""
    figures: dict[str, dict] = {}
    for method in WEIGHTS:
        with TemporaryDirectory() as folder:
            joined = Path(folder) / "joined.pt"
            join(encoder_file(model, method), model / CHECKPOINT.name, joined)
            network = load_inversion(read_checkpoint(joined), NO_CHOICES)
            figures[method] = {
                name: _inversion(network, draw(parameters, size, given).clamp(-1, 1).numpy())
                for name, given in (("with_extras", extras), ("without_extras", None))
            }
    return figures


def _inversion(network: Model, photos: NDArray[np.float32]) -> dict[str, Any]:
    states = list(refine_published(network, photos, network.method.default_steps))
    drawn, codes = [state.image for state in states[-network.method.default_steps :]], states[-1].codes
    return {
        "l2_mean": [float(np.square(image - photos).mean()) for image in drawn],
        "rows_differ_by": float(np.square(codes - codes[:, :1]).mean()),
    }


def _moved(picture: Callable[[Tensor], Tensor], parameters: Tensor, index: int) -> Tensor:
    """The derivative of pictures by one parameter, [B, numbers of a picture]."""
    up, down = parameters.clone(), parameters.clone()
    up[:, index] += STEP
    down[:, index] -= STEP
    return (picture(up) - picture(down)).flatten(1) / (2 * STEP)
