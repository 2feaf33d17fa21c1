"""Photos with several drawn faces, turned and of several sizes, and where the faces' landmarks are in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .landmarks import landmarks
from .parameters import sample
from .pictures import draw

#: Pixels of a face's picture before it is placed.
_DRAWN = 384
_BACKGROUND = (92, 104, 110)


@dataclass(frozen=True)
class Place:
    """Where a face's picture is in a photo: its middle, its side in pixels, and how far it is turned clockwise."""

    x: float
    y: float
    side: float
    degrees: float


#: Of the command's photo, 760x420.
PLACES = (Place(190, 205, 250, -18), Place(420, 215, 190, 12), Place(640, 190, 230, 35))


def group_photo(
    seeds: Sequence[int], places: Sequence[Place], size: tuple[int, int], extras: bool = False
) -> tuple[Image.Image, list[NDArray[np.float64]]]:
    """Draw a photo.

    Args:
        seeds: a face each.
        places: where each is; later ones lie over earlier ones.
        size: width and height of the photo.
        extras: draw glasses, hats and the like too.

    Returns:
        The photo, and the 68 landmarks of every face, [68, 2] in its pixels, the middle of the first one being 0.
    """
    parameters, attributes = sample(seeds)
    drawn = ((draw(parameters, _DRAWN, attributes if extras else None) + 1) * 127.5).round().to(torch.uint8)
    points = landmarks(parameters, _DRAWN).double().numpy()
    photo, found = Image.new("RGB", size, _BACKGROUND), []
    for face, place, own in zip(drawn.permute(0, 2, 3, 1).numpy(), places, points, strict=True):
        turn = _turn(place)
        middle, target = np.full(2, _DRAWN / 2), np.array([place.x, place.y])
        inverse = np.linalg.inv(turn)
        rows = np.column_stack([inverse, middle - inverse @ target]).ravel().tolist()
        layer = Image.fromarray(face).convert("RGBA")
        laid_out = layer.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BICUBIC)
        photo.paste(laid_out, (0, 0), laid_out)
        found.append((own - middle) @ turn.T + target - 0.5)
    return photo, found


def _turn(place: Place) -> NDArray[np.float64]:
    angle, scale = np.radians(place.degrees), place.side / _DRAWN
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
