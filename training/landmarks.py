"""The 68 landmarks of drawn faces, in the order that face alignment expects."""

import torch
from torch import Tensor

from .faces import Face, face_of

# Where around an eye its six points lie, from the picture's left corner over the top: angles as (cos, sin).
_EYE = ((-1.0, 0.0), (-0.5, -0.87), (0.5, -0.87), (1.0, 0.0), (0.5, 0.87), (-0.5, 0.87))
EYE_WIDTH = 1.22


def landmarks(parameters: Tensor, size: int) -> Tensor:
    """Where the features of faces are.

    Jaw 0-16, brows 17-26, nose 27-35, eyes 36-47 (the picture's left one first), mouth 48-67; alignment as for FFHQ
    uses the eyes and the mouth's corners, 48 and 54.

    Args:
        parameters: [B, 28] float32 in [0, 1].
        size: pixels of the picture's side.

    Returns:
        [B, 68, 2] float32, (x, y) in pixels, 0 being the left or upper edge of the first pixel.
    """
    face = face_of(parameters)
    points = torch.cat(
        [_jaw(face), _brows(face), _nose(face), *(_eye(face, side) for side in (-1, 1)), _mouth(face)], 1
    )
    return (points + 1) * (size / 2)


def _jaw(face: Face) -> Tensor:
    angle = torch.linspace(torch.pi, 0, 17)
    power = 2 / face.jaw_power[:, None]
    x = face.face_x[:, None] + face.face_width[:, None] * angle.cos().sign() * angle.cos().abs() ** power
    y = face.CENTRE_Y + face.jaw_height[:, None] * angle.sin().clamp(min=0) ** power
    return torch.stack([x, y.expand_as(x)], 2)


def _brows(face: Face) -> Tensor:
    parts = []
    for side in (-1, 1):
        x = torch.linspace(-0.125, 0.125, 5)
        outward = side * x
        y = face.brow_y[:, None] + face.brow_slant[:, None] * (outward - 0.02) + 1.6 * (outward**2 - 0.012)
        parts.append(torch.stack([face.eye_x(side)[:, None] + x, y], 2))
    return torch.cat(parts, 1)


def _nose(face: Face) -> Tensor:
    down = torch.linspace(0, 1, 4)
    start = face.turn[:, None]
    bridge_x = start + (face.nose_x[:, None] - start) * down
    bridge_y = face.EYE_Y + (face.nose_y[:, None] - face.EYE_Y) * down
    along = torch.linspace(-1, 1, 5)
    base_x = face.nose_x[:, None] + face.nose_size[:, None] * along
    base_y = face.nose_y[:, None] + 0.6 * face.nose_size[:, None] * (1 - along**2)
    return torch.cat([torch.stack([bridge_x, bridge_y], 2), torch.stack([base_x, base_y], 2)], 1)


def _eye(face: Face, side: int) -> Tensor:
    around = torch.tensor(_EYE)
    x = face.eye_x(side)[:, None] + face.eye_size[:, None] * EYE_WIDTH * around[:, 0]
    y = face.EYE_Y + (face.eye_size * face.eye_open)[:, None] * around[:, 1]
    return torch.stack([x, y], 2)


def _mouth(face: Face) -> Tensor:
    outer, inner = torch.linspace(-1, 1, 7), torch.linspace(-0.8, 0.8, 5)

    def at(u: Tensor, side: int, lip: float) -> Tensor:
        u = u.expand(len(face.turn), -1)
        y = face.mouth_edges(u)[side] + lip * (1 - u * u)
        return torch.stack([face.mouth_x[:, None] + face.mouth_width[:, None] * u, y], 2)

    parts = [
        at(outer, 0, -0.036),
        at(outer.flip(0)[1:-1], 1, 0.052),
        at(inner, 0, 0.0),
        at(inner.flip(0)[1:-1], 1, 0.0),
    ]
    return torch.cat(parts, 1)
