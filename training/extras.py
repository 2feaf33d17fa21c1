"""What only some faces have and the generator never learns: glasses, hats, beards, earrings, freckles."""

import torch
from torch import Tensor

from .faces import Face, head
from .parameters import ATTRIBUTES, EXTRAS
from .shapes import Canvas, band, both, ellipse, per_picture, shaded, superellipse

# Places of freckles around the nose, mirrored at the middle.
_FRECKLES = ((0.10, 0.12), (0.15, 0.17), (0.20, 0.12), (0.25, 0.18), (0.17, 0.23), (0.05, 0.08))
_GOLD = (0.96, 0.80, 0.28)


def _column(extras: Tensor, name: str) -> Tensor:
    return extras[:, (*EXTRAS, *ATTRIBUTES).index(name)]


def _colour(warmth: Tensor, green: Tensor, level: float) -> Tensor:
    warm, verdant = torch.tensor([1.0, 0.1, -1.0]), torch.tensor([-0.5, 0.6, -0.5])
    return level + (2 * warmth - 1)[:, None] * warm * 0.36 + (2 * green - 1)[:, None] * verdant * 0.36


def paint_behind(canvas: Canvas, face: Face, extras: Tensor) -> None:
    """Freckles, under everything that is drawn on the skin."""
    present = _column(extras, "freckles") * 0.9
    for side in (-1, 1):
        for place_x, place_y in _FRECKLES:
            middle = side * place_x
            part = canvas.window(middle - 0.2, place_y - 0.03, middle + 0.2, place_y + 0.03)
            x = part.x - per_picture(face.turn) - middle
            part.fill(ellipse(x, part.y - place_y, 0.017, 0.017), face.skin * 0.62, opacity=present)


def paint_on_skin(canvas: Canvas, face: Face, extras: Tensor) -> None:
    """Beard and moustache, which the mouth is drawn over."""
    present = per_picture(_column(extras, "beard"))
    x = canvas.x - per_picture(face.mouth_x)
    length = per_picture(0.09 * _column(extras, "beard_length"))
    line = 0.25 - 0.9 * (x.abs() - 0.14).clamp(min=0) - 0.25 * (0.14 - x.abs()).clamp(min=0)
    below = ((canvas.y - 0.3) / 0.35).clamp(0, 1)
    shape = both(head(canvas, face) - length * below, line - canvas.y)
    light = 0.96 - 0.12 * (canvas.y - 0.2) + 0.03 * torch.sin(45 * x)
    canvas.paint(canvas.coverage(shape, 0.02) * present, shaded(face.hair * 0.88, light))


def paint_on_top(canvas: Canvas, face: Face, extras: Tensor) -> None:
    """Earrings, glasses and hats, over everything."""
    _earrings(canvas, face, extras)
    _glasses(canvas.window(-0.72, -0.18, 0.72, 0.22), face, extras)
    _hat(canvas.window(-1, -1, 1, -0.1), face, extras)


def _earrings(canvas: Canvas, face: Face, extras: Tensor) -> None:
    present = _column(extras, "earrings")
    size = per_picture(0.035 + 0.045 * _column(extras, "hoop"))
    for side in (-1, 1):
        part = canvas.window(-0.25 + 0.5 * side, 0.15, 0.25 + 0.5 * side, 0.4)
        x, y = part.x - per_picture(face.ear_x(side)), part.y - 0.19 - size
        part.fill(band(ellipse(x, y, size, size) + 0.015, 0.016), torch.tensor(_GOLD), opacity=present)


def _glasses(canvas: Canvas, face: Face, extras: Tensor) -> None:
    present = _column(extras, "glasses")
    frame = _colour(_column(extras, "frame_colour"), 1 - _column(extras, "frame_colour"), 0.26).clamp(0.03, 1)
    power = per_picture(2 + 3 * _column(extras, "frame_shape"))
    # A third are sunglasses; the others only shine a little.
    tint = _column(extras, "tint") * 1.6 - 0.7
    glass = torch.where((tint > 0.3)[:, None], frame * 0.5, torch.ones_like(frame))
    opacity = torch.where(tint > 0.3, tint, torch.full_like(tint, 0.12))
    y = canvas.y - face.EYE_Y - 0.01
    for side in (-1, 1):
        x = canvas.x - per_picture(face.eye_x(side))
        lens = superellipse(x, y, 0.155, 0.125, power)
        canvas.fill(lens, glass, opacity=present * opacity)
        canvas.fill(band(lens, 0.020), frame, opacity=present)
        beyond = side * (canvas.x - per_picture(face.head_x)) - per_picture(face.face_width) - 0.01
        canvas.fill(both(band(y + 0.03, 0.016), 0.155 - side * x, beyond), frame, opacity=present)
    bridge = both(band(canvas.x - per_picture(face.turn), per_picture(face.eye_spacing) - 0.15), band(y + 0.02, 0.018))
    canvas.fill(bridge, frame, opacity=present)


def _hat(canvas: Canvas, face: Face, extras: Tensor) -> None:
    present = per_picture(_column(extras, "hat"))
    colour = _colour(_column(extras, "hat_warmth"), _column(extras, "hat_green"), 0.50).clamp(0.04, 0.97)
    brim = per_picture(_column(extras, "brim"))
    x = canvas.x - per_picture(face.head_x)
    width = per_picture(face.face_width + 0.6 * face.hair_volume) + 0.05
    crown = both(superellipse(x, canvas.y + 0.34, width, 0.52, 2.4), canvas.y + 0.34)
    light = 1.05 - 0.30 * ((x + 0.1) / 0.6) ** 2 - 0.10 * (canvas.y + 0.5)
    rim = width + 0.02 + 0.20 * brim
    edge = superellipse(x, canvas.y + 0.34 - 0.06 * (x / rim) ** 2, rim, 0.075 - 0.02 * brim, 3.0)
    shadow = canvas.coverage(edge - 0.05, 0.10) * canvas.coverage(band(x, width - 0.06), 0.06)
    canvas.paint(shadow * present * 0.3, torch.zeros(3))
    canvas.paint(canvas.coverage(crown) * present, shaded(colour, light))
    canvas.paint(canvas.coverage(edge) * present, shaded(colour * 0.74, light))
