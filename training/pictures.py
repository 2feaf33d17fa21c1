"""Draws faces: a batch of parameters becomes a batch of pictures."""

import torch
from torch import Tensor

from .extras import paint_behind, paint_on_skin, paint_on_top
from .faces import Face, face_of, head
from .shapes import Canvas, band, both, either, ellipse, per_picture, shaded, superellipse

_LIP, _DARK_MOUTH, _TEETH = (0.76, 0.34, 0.36), (0.34, 0.09, 0.11), (0.97, 0.96, 0.93)


def draw(parameters: Tensor, size: int = 64, extras: Tensor | None = None) -> Tensor:
    """Draw faces.

    Args:
        parameters: [B, 28] float32 in [0, 1], see `parameters.PARAMETERS`.
        size: pixels of a side, 64 to 512; the same picture at any size.
        extras: [B, 13] float32 as `parameters.sample` gives them; None for none.

    Returns:
        [B, 3, size, size] float32 RGB in [-1, 1].
    """
    face, canvas = face_of(parameters), Canvas.blank(len(parameters), size)
    _background(canvas, face)
    _back_hair(canvas, face)
    _ears(canvas, face)
    _body(canvas.window(-1, 0.2, 1, 1), face)
    _skin(canvas.window(-0.7, -0.6, 0.7, 0.8), face)
    if extras is not None:
        paint_behind(canvas, face, extras)
    _nose(canvas.window(-0.32, -0.1, 0.32, 0.32), face)
    _folds(canvas, face)
    if extras is not None:
        paint_on_skin(canvas.window(-0.7, 0, 0.7, 0.9), face, extras)
    _mouth(canvas.window(-0.42, 0.1, 0.42, 0.65), face)
    for side in (-1, 1):
        _eye(canvas.window(-0.2 + 0.22 * side - 0.2, -0.18, 0.2 + 0.22 * side + 0.2, 0.22), face, side)
    _front_hair(canvas.window(-0.8, -0.75, 0.8, 0.35), face)
    for side in (-1, 1):
        _brow(canvas.window(-0.35 + 0.22 * side, -0.4, 0.35 + 0.22 * side, 0.1), face, side)
    if extras is not None:
        paint_on_top(canvas, face, extras)
    return canvas.pixels.clamp_(0, 1) * 2 - 1


def _background(canvas: Canvas, face: Face) -> None:
    light = 1.04 - 0.05 * (canvas.y + 1) - 0.06 * (canvas.x**2 + canvas.y**2)
    canvas.pixels.copy_(shaded(face.background, light))


def _hair_light(canvas: Canvas, face: Face) -> Tensor:
    """Hair's brightness: a soft shine across the crown, darker below."""
    x = canvas.x - per_picture(face.head_x) + 0.12
    shine = torch.exp(-(((canvas.y + 0.47 - 0.25 * x * x) / 0.10) ** 2) - (x / 0.42) ** 2)
    return 0.98 + 0.30 * shine - 0.12 * (canvas.y + 0.5).clamp(min=0)


def _back_hair(canvas: Canvas, face: Face) -> None:
    x, y = canvas.x - per_picture(face.head_x), canvas.y - face.CENTRE_Y
    width = per_picture(face.face_width + face.hair_volume)
    cap = ellipse(x, y + 0.07, width, face.TOP + 0.02 + per_picture(face.hair_volume) * 0.7)
    length = per_picture(face.hair_length)
    # Hair falls straight, flares a little, and its ends are round.
    flare = (
        width
        - 0.01
        + 0.08 * (canvas.y - 0.1).clamp(min=0) * length
        - 0.9 * (canvas.y - length + 0.22).clamp(min=0) ** 2
    )
    fall = both(band(x, flare), -0.08 - canvas.y, canvas.y - length + 0.25 * x * x)
    canvas.paint(canvas.coverage(either(cap, fall)), shaded(face.hair, _hair_light(canvas, face) * 0.86))


def _ears(canvas: Canvas, face: Face) -> None:
    for side in (-1, 1):
        part = canvas.window(-0.15 + 0.5 * side, -0.1, 0.15 + 0.5 * side, 0.3)
        x, y = part.x - per_picture(face.ear_x(side)), part.y - 0.09
        part.fill(ellipse(x, y, 0.075, 0.115), face.skin * 0.93)
        part.fill(ellipse(x, y, 0.035, 0.065), face.skin * 0.80, soft=0.03)


def _body(canvas: Canvas, face: Face) -> None:
    x = canvas.x - per_picture(face.turn) * 0.15
    shoulders = superellipse(x, canvas.y - 1.28, 0.86, 0.50, 2.4)
    light = 1.05 - 0.25 * x.abs() - 0.15 * (canvas.y - 0.8).clamp(min=0)
    canvas.paint(canvas.coverage(shoulders), shaded(face.shirt, light))
    canvas.fill(ellipse(x, canvas.y - 0.80, 0.27, 0.15), face.shirt * 0.72)
    neck = either(both(band(x, 0.185), canvas.y - 0.78, 0.2 - canvas.y), ellipse(x, canvas.y - 0.78, 0.225, 0.115))
    under_chin = canvas.coverage(head(canvas, face) - 0.07, soft=0.14)
    canvas.paint(canvas.coverage(neck), shaded(face.skin, 0.93 - 0.20 * under_chin))


def _skin(canvas: Canvas, face: Face) -> None:
    distance = head(canvas, face)
    rim = ((distance + 0.20) / 0.20).clamp(0, 1) ** 2
    light = 1.03 - 0.12 * rim - 0.06 * (canvas.x - per_picture(face.face_x)) - 0.03 * canvas.y
    inside = canvas.coverage(distance)
    canvas.paint(inside, shaded(face.skin, light))
    for side in (-1, 1):
        x = canvas.x - per_picture(face.turn + side * (face.eye_spacing + 0.08))
        cheek = torch.exp(-((x / 0.10) ** 2)) * torch.exp(-(((canvas.y - 0.22) / 0.08) ** 2))
        canvas.paint(cheek * inside * 0.55, face.skin * torch.tensor([1.0, 0.74, 0.72]))


def _nose(canvas: Canvas, face: Face) -> None:
    x, y = canvas.x - per_picture(face.nose_x), canvas.y - per_picture(face.nose_y)
    size = per_picture(face.nose_size)
    bridge = both(band(x + per_picture(face.turn) * 4.5 * y + 0.012, 0.022), y, -y - 0.20)
    canvas.fill(bridge, face.skin * 0.90, soft=0.04, opacity=0.5)
    canvas.fill(ellipse(x, y, size, size * 0.62), face.skin * 0.84, soft=0.02)
    canvas.fill(ellipse(x + 0.005, y + 0.022, size * 0.80, size * 0.58), face.skin * 1.03, soft=0.03)


def _folds(canvas: Canvas, face: Face) -> None:
    """Lines that come with age: beside the mouth and under the eyes."""
    strength = face.age.clamp(min=0.25) - 0.25
    lower, upper = canvas.window(-0.5, 0.15, 0.5, 0.45), canvas.window(-0.5, 0, 0.5, 0.3)
    for side in (-1, 1):
        x, y = lower.x - per_picture(face.mouth_x), lower.y - 0.30
        curve = side * x - 0.115 - 0.75 * (y + 0.09) - per_picture(face.mouth_width) * 0.35
        lower.fill(both(band(curve, 0.012), band(y, 0.085)), face.skin * 0.70, soft=0.02, opacity=strength)
        x = upper.x - per_picture(face.eye_x(side))
        y = upper.y - face.EYE_Y - per_picture(face.eye_size) * 1.25 + x * x * 2.5
        upper.fill(both(band(y, 0.010), band(x, 0.075)), face.skin * 0.70, soft=0.02, opacity=strength)


def _mouth(canvas: Canvas, face: Face) -> None:
    u = (canvas.x - per_picture(face.mouth_x)) / per_picture(face.mouth_width)
    upper, lower = face.mouth_edges(u)
    taper = (1 - u * u).clamp(min=0)
    within = (u.abs() - 1) * per_picture(face.mouth_width)
    lips = both(upper - 0.026 * taper - 0.010 - canvas.y, canvas.y - lower - 0.042 * taper - 0.010, within)
    lip = face.skin * 0.45 + torch.tensor(_LIP) * 0.55
    canvas.paint(canvas.coverage(lips), shaded(lip, 0.88 + 0.18 * canvas.coverage(lower - canvas.y, 0.02)))
    inside = canvas.coverage(both(upper + 0.004 - canvas.y, canvas.y - lower + 0.004, within))
    opened = (per_picture(face.mouth_open) / 0.02).clamp(max=1)
    canvas.paint(inside * (0.55 + 0.45 * opened), torch.tensor(_DARK_MOUTH))
    teeth = canvas.coverage(canvas.y - upper - 0.30 * (lower - upper) - 0.005, 0.01)
    canvas.paint(inside * teeth * opened * canvas.coverage(within + 0.02, 0.02), torch.tensor(_TEETH))


def _eye(canvas: Canvas, face: Face, side: int) -> None:
    x, y = canvas.x - per_picture(face.eye_x(side)), canvas.y - face.EYE_Y
    size = per_picture(face.eye_size)
    height = size * per_picture(face.eye_open)
    outline = superellipse(x, y, size * 1.22, height, 2.2)
    canvas.fill(outline - 0.022, face.skin * 0.86, soft=0.03)
    inside = canvas.coverage(outline)
    lid = canvas.coverage(y + height * 0.55, soft=0.05)
    canvas.paint(inside, shaded(torch.tensor([[0.98, 0.98, 0.97]]), 1 - 0.14 * lid))
    gazing = x - per_picture(face.gaze) * size - per_picture(face.turn) * 0.12
    iris = ellipse(gazing, y, size * 0.62, size * 0.62)
    canvas.paint(inside * canvas.coverage(iris), face.iris * 0.72)
    canvas.paint(inside * canvas.coverage(iris + 0.016, 0.02), face.iris * 1.12)
    pupil = ellipse(gazing, y, size * 0.29, size * 0.29)
    canvas.paint(inside * canvas.coverage(pupil), torch.tensor([0.05, 0.04, 0.06]))
    glint = ellipse(gazing + size * 0.2, y + size * 0.22, size * 0.16, size * 0.16)
    canvas.paint(inside * canvas.coverage(glint), torch.ones(3))
    lash = both(outline.abs() - 0.013, y + height * 0.10)
    canvas.fill(lash, face.hair * 0.16 + torch.tensor([0.07, 0.05, 0.05]))


def _brow(canvas: Canvas, face: Face, side: int) -> None:
    x = canvas.x - per_picture(face.eye_x(side))
    outward = side * x
    arch = per_picture(face.brow_y) + per_picture(face.brow_slant) * (outward - 0.02) + 1.6 * (outward**2 - 0.012)
    thickness = 0.030 - 0.09 * (outward + 0.06).clamp(min=0)
    canvas.fill(both(band(canvas.y - arch, thickness), band(x, 0.125)), face.hair * 0.72, soft=0.01)


def _front_hair(canvas: Canvas, face: Face) -> None:
    x = canvas.x - per_picture(face.face_x)
    u = x / per_picture(face.face_width)
    line = per_picture(face.fringe) + per_picture(face.parting) * x + 0.36 * u**4 * (1 + per_picture(face.fringe))
    outline = head(canvas, face)
    shape = canvas.coverage(both(outline - 0.012 - per_picture(face.hair_volume) * 0.25, canvas.y - line))
    shadow = canvas.coverage(both(outline, band(canvas.y - line - 0.03, 0.025)), 0.04)
    canvas.paint(shadow * (1 - shape) * 0.22, face.skin * 0.6)
    strands = 1 + 0.05 * torch.sin(26 * (x + 0.3 * per_picture(face.parting) * canvas.y))
    canvas.paint(shape, shaded(face.hair, _hair_light(canvas, face) * strands))
