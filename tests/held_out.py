"""Faces of the trained model's kind that training never drew, and what refinement must make of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.training.parameters import HELD_OUT, sample
from hyperstyle_deploy.training.pictures import draw

FACES = 12
#: L2 after each step: 2 % above what was measured on these faces.
BOUNDS = np.array([0.00598, 0.00542, 0.00526, 0.00521, 0.00518])


def write_faces(folder: Path) -> list[Path]:
    """Faces with glasses, hats and beards, 64 pixels, as PNG files."""
    parameters, extras = sample(range(HELD_OUT, HELD_OUT + FACES))
    pictures = ((draw(parameters, 64, extras).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    paths = [folder / f"face{index:02}.png" for index in range(FACES)]
    for path, picture in zip(paths, pictures.numpy(), strict=True):
        Image.fromarray(picture).save(path)
    return paths


def check_refinement(found: Sequence[Inversion]) -> None:
    """L2 falls at every step and to what is known: a step that computes something else shows as a rise."""
    l2 = np.asarray([inversion.l2 for inversion in found]).mean(0)
    assert l2.shape == (6,)
    assert 0.030 < l2[0] < 0.040
    assert (l2[1:] <= BOUNDS).all(), l2
    assert (np.diff(l2) < 0).all(), l2
