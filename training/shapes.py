"""Anti-aliased painting of a batch of pictures: signed distances of simple shapes, and a canvas they are painted on."""

import torch
from torch import Tensor

#: Width of an edge in pixels: a little more than one, so that curves have no steps.
EDGE_PIXELS = 1.3


def shaded(colour: Tensor, factor: Tensor) -> Tensor:
    """A colour [B, 3] times a brightness per pixel [B, H, W]: [B, 3, H, W]."""
    return colour[:, :, None, None] * factor[:, None]


def per_picture(value: Tensor) -> Tensor:
    """[B] becomes [B, 1, 1], to meet a grid of pixels."""
    return value[:, None, None]


def ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Signed distance (negative inside, exact near the outline) of an ellipse around the origin.

    The implicit function divided by the length of its gradient: thin ellipses keep their edge width all around.
    """
    u, v = x / rx, y / ry
    r = torch.sqrt(u * u + v * v + 1e-6)
    return (r - 1) * r / torch.sqrt((u / rx) ** 2 + (v / ry) ** 2 + 1e-6)


def superellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float, power: Tensor | float) -> Tensor:
    """About the signed distance of ``|x/rx|^power + |y/ry|^power = 1``; power 2 is an ellipse, 4 nearly a box."""
    u, v = (x / rx).abs() + 1e-4, (y / ry).abs() + 1e-4
    a, b = u**power, v**power
    r = (a + b) ** (1 / power)
    slope = (r / (a + b)) * torch.sqrt((a / u / rx) ** 2 + (b / v / ry) ** 2)
    return (r - 1) / (slope + 1e-3)


def band(x: Tensor, half_width: Tensor | float) -> Tensor:
    """Signed distance of the strip ``|x| < half_width``."""
    return x.abs() - half_width


def both(*distances: Tensor) -> Tensor:
    """Signed distance of what lies in all the shapes."""
    result = distances[0]
    for distance in distances[1:]:
        result = torch.maximum(result, distance)
    return result


def either(*distances: Tensor) -> Tensor:
    """Signed distance of what lies in any of the shapes."""
    result = distances[0]
    for distance in distances[1:]:
        result = torch.minimum(result, distance)
    return result


def blend(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """From colour ``a`` to colour ``b``, [B, 3] each or [3], by ``t`` [B] in [0, 1]."""
    return a + (b - a) * t[:, None]


class Canvas:
    """A batch of RGB pictures in [0, 1] on the square [-1, 1] x [-1, 1]; x to the right, y down.

    Attributes:
        x, y: the pixels' centres, [1, 1, W] and [1, H, 1] float32.
        pixels: [B, 3, H, W] float32, painted in place.
    """

    def __init__(self, x: Tensor, y: Tensor, edge: float, pixels: Tensor) -> None:
        self.x, self.y, self.edge, self.pixels = x, y, edge, pixels

    @classmethod
    def blank(cls, batch: int, size: int) -> "Canvas":
        """A black square of ``size`` pixels."""
        centres = (torch.arange(size) + 0.5) * (2 / size) - 1
        edge = EDGE_PIXELS * 2 / size
        return cls(centres.view(1, 1, size), centres.view(1, size, 1), edge, torch.zeros(batch, 3, size, size))

    def window(self, left: float, top: float, right: float, bottom: float) -> "Canvas":
        """The part of these pictures in a rectangle: painting a small shape there costs less."""
        rows, columns = self._span(self.y.flatten(), top, bottom), self._span(self.x.flatten(), left, right)
        return Canvas(self.x[..., columns], self.y[:, rows], self.edge, self.pixels[..., rows, columns])

    def _span(self, centres: Tensor, low: float, high: float) -> slice:
        inside = (centres > low - self.edge) & (centres < high + self.edge)
        first = int(inside.int().argmax())
        return slice(first, first + int(inside.sum()))

    def coverage(self, distance: Tensor, soft: float = 0.0) -> Tensor:
        """How much of each pixel a shape covers, in [0, 1]; ``soft`` blurs its edge, in canvas units."""
        return (distance * (-1 / (self.edge + soft)) + 0.5).clamp_(0, 1)

    def paint(self, alpha: Tensor, colour: Tensor) -> None:
        """Lay ``colour`` ([3], [B, 3] or, shaded, [B, 3, H, W]) over the pictures where ``alpha`` [B, H, W] says."""
        if colour.dim() < 4:
            colour = colour.view(-1, 3, 1, 1)
        self.pixels.add_((colour - self.pixels).mul_(alpha[:, None]))

    def fill(self, distance: Tensor, colour: Tensor, soft: float = 0.0, opacity: Tensor | float = 1.0) -> None:
        """Paint the inside of a shape."""
        alpha = self.coverage(distance, soft)
        self.paint(alpha * (per_picture(opacity) if isinstance(opacity, Tensor) else opacity), colour)
