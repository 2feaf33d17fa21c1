"""Where everything in a face is and what colour it has: the geometry that the painter and the landmarks share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .parameters import PARAMETERS
from .shapes import Canvas, blend, ellipse, per_picture, superellipse

_DARK_SKIN, _LIGHT_SKIN = (0.36, 0.23, 0.16), (0.99, 0.86, 0.76)
_EYE_COLOURS = ((0.34, 0.20, 0.10), (0.32, 0.50, 0.28), (0.30, 0.52, 0.78))


@dataclass(frozen=True)
class Face:
    """A batch of faces; lengths and places in canvas units, [B] each; colours [B, 3] in [0, 1].

    ``turn`` moves what is nearer to the viewer further: x of a feature = ``centre_x + turn * its depth``.
    """

    turn: Tensor
    head_x: Tensor
    face_x: Tensor
    face_width: Tensor
    jaw_height: Tensor
    jaw_power: Tensor
    hair_length: Tensor
    hair_volume: Tensor
    fringe: Tensor
    parting: Tensor
    age: Tensor
    eye_spacing: Tensor
    eye_size: Tensor
    eye_open: Tensor
    gaze: Tensor
    brow_y: Tensor
    brow_slant: Tensor
    nose_y: Tensor
    nose_size: Tensor
    mouth_width: Tensor
    mouth_open: Tensor
    smile: Tensor
    background: Tensor
    skin: Tensor
    hair: Tensor
    iris: Tensor
    shirt: Tensor

    CENTRE_Y = 0.03
    TOP = 0.56
    EYE_Y = 0.02
    MOUTH_Y = 0.36

    @property
    def mouth_x(self) -> Tensor:
        return self.turn * 1.05

    @property
    def nose_x(self) -> Tensor:
        return self.turn * 1.25

    def eye_x(self, side: int) -> Tensor:
        """Centre of the eye at the picture's left (-1) or right (+1)."""
        return self.turn + side * self.eye_spacing * (1 - side * self.turn * 0.5)

    def ear_x(self, side: int) -> Tensor:
        """Centre of the ear at the picture's left (-1) or right (+1)."""
        return self.head_x + side * (self.face_width + 0.015) - self.turn * 0.1

    def mouth_curve(self, u: Tensor) -> Tensor:
        """Height of the mouth line at ``u`` = -1 ... 1 from corner to corner (last axis), without its opening."""
        shape = [-1] + [1] * (u.dim() - 1)
        return self.MOUTH_Y - self.smile.view(shape) * 0.115 * (u * u - 0.45)

    def mouth_edges(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Heights of the opening's upper and lower edge at ``u``."""
        shape = [-1] + [1] * (u.dim() - 1)
        opening = self.mouth_open.view(shape) * (1 - u * u).clamp(min=0)
        curve = self.mouth_curve(u)
        return curve - 0.35 * opening, curve + 0.65 * opening


def face_of(parameters: Tensor) -> Face:
    """Geometry and colours of faces from their parameters [B, 28] in [0, 1]."""
    column = {name: parameters[:, i] for i, name in enumerate(PARAMETERS)}

    def between(name: str, low: float, high: float) -> Tensor:
        return low + (high - low) * column[name]

    turn = between("turn", -0.15, 0.15)
    age = column["age"]
    return Face(
        turn=turn,
        head_x=turn * 0.25,
        face_x=turn * 0.5,
        face_width=between("face_width", 0.40, 0.52),
        jaw_height=between("jaw", 0.70, 0.58),
        jaw_power=between("jaw", 1.75, 2.7),
        hair_length=between("hair_length", -0.05, 0.95),
        hair_volume=between("hair_volume", 0.03, 0.17),
        fringe=between("fringe", -0.50, -0.20),
        parting=between("parting", -0.35, 0.35),
        age=age,
        eye_spacing=between("eye_spacing", 0.17, 0.235),
        eye_size=between("eye_size", 0.085, 0.125),
        eye_open=between("eye_open", 0.30, 0.95),
        gaze=between("gaze", -0.4, 0.4),
        brow_y=between("brow_height", -0.13, -0.215),
        brow_slant=between("brow_slant", -0.45, 0.45),
        nose_y=between("nose", 0.15, 0.20),
        nose_size=between("nose", 0.055, 0.10),
        mouth_width=between("mouth_width", 0.13, 0.23),
        mouth_open=between("mouth_open", 0.0, 0.15),
        smile=between("smile", -1.0, 1.0),
        background=_plane(column["background_warmth"], column["background_green"], 0.22, 0.16)
        + (0.64 + 0.22 * column["background_light"])[:, None],
        skin=_skin(column["skin_tone"], column["skin_warmth"]),
        hair=_hair(column["hair_tone"], column["hair_warmth"], age),
        iris=_ramp(_EYE_COLOURS, column["eye_colour"]),
        shirt=_plane(column["shirt_warmth"], column["shirt_green"], 0.30, 0.26) + 0.52,
    )


def head(canvas: Canvas, face: Face) -> Tensor:
    """Signed distance [B, H, W] of the face's outline: half an ellipse above, a superellipse for the jaw."""
    x, y = canvas.x - per_picture(face.face_x), canvas.y - face.CENTRE_Y
    width = per_picture(face.face_width)
    upper = ellipse(x, y, width, face.TOP)
    lower = superellipse(x, y, width, per_picture(face.jaw_height), per_picture(face.jaw_power))
    return torch.where(y < 0, upper, lower)


def _plane(warmth: Tensor, green: Tensor, strength: float, green_strength: float) -> Tensor:
    """A colour's distance from grey along two axes, blue to orange and purple to green: linear, unlike a hue."""
    warm = torch.tensor([1.0, 0.15, -1.0])
    verdant = torch.tensor([-0.6, 0.8, -0.6])
    return (2 * warmth - 1)[:, None] * warm * strength + (2 * green - 1)[:, None] * verdant * green_strength


def _ramp(colours: tuple[tuple[float, float, float], ...], t: Tensor) -> Tensor:
    first, second, third = (torch.tensor(c) for c in colours)
    return torch.where((t < 0.5)[:, None], blend(first, second, 2 * t), blend(second, third, 2 * t - 1))


def _skin(tone: Tensor, warmth: Tensor) -> Tensor:
    skin = blend(torch.tensor(_DARK_SKIN), torch.tensor(_LIGHT_SKIN), tone)
    # Skin between dark and light is redder than halfway.
    middle = (4 * tone * (1 - tone))[:, None] * torch.tensor([0.09, 0.0, -0.05])
    return skin + middle + (warmth - 0.5)[:, None] * torch.tensor([0.05, -0.02, -0.07])


def _hair(tone: Tensor, warmth: Tensor, age: Tensor) -> Tensor:
    cold = blend(torch.tensor([0.10, 0.09, 0.11]), torch.tensor([0.84, 0.74, 0.56]), tone)
    warm = blend(torch.tensor([0.26, 0.08, 0.05]), torch.tensor([0.93, 0.56, 0.22]), tone)
    grey = blend(torch.tensor([0.48, 0.48, 0.50]), torch.tensor([0.88, 0.87, 0.86]), tone)
    return blend(blend(cold, warm, warmth), grey, age * age)
