"""Where in a photo an aligned picture lies: a small record that travels with the picture and its inversion."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AlignmentError
from ..images import MAX_PIXELS
from ..manifest import strict_json

#: Pixels of an aligned picture's side.
MIN_SIZE, MAX_SIZE = 16, 4096
#: Corners lie within so many pixels of the photo's.
MOST = 1e9
#: The longest text that `Crop.text` writes has some 250 characters.
MAX_TEXT = 4096


@dataclass(frozen=True)
class Crop:
    """What was cut out of a photo, and to what size it was brought.

    Attributes:
        photo: width and height of the upright photo.
        size: pixels of the aligned picture's side.
        quad: the aligned picture's corners in the photo, upper left, lower left, lower right, upper right, (x, y) each:
            0 is the outer edge of the first pixel. It is a square, but for the rounding of a photo that was shrunk
            first, and may leave the photo.
    """

    photo: tuple[int, int]
    size: int
    quad: tuple[tuple[float, float], ...]

    @property
    def side(self) -> float:
        """Length of the upper edge in the photo's pixels."""
        return math.dist(self.quad[0], self.quad[3])

    @property
    def basis(self) -> NDArray[np.float64]:
        """The affine map from the aligned picture, 0 to 1 each way, to the photo's pixels.

        Returns:
            [2, 3] float64: columns for a step to the right, a step down, and the upper left corner.
        """
        upper_left, lower_left, _, upper_right = np.asarray(self.quad, np.float64)
        return np.stack([upper_right - upper_left, lower_left - upper_left, upper_left], 1)

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the aligned picture, [N, 2] in shares of its side, in the photo's pixels (edges at 0)."""
        basis = self.basis
        return points @ basis[:, :2].T + basis[:, 2]

    def from_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of ``to_photo``."""
        basis = self.basis
        return (points - basis[:, 2]) @ np.linalg.inv(basis[:, :2]).T

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {"photo": list(self.photo), "size": self.size, "quad": [list(corner) for corner in self.quad]}

    @property
    def text(self) -> str:
        """The record on one line, as an inversion keeps it."""
        return json.dumps(self.to_json(), allow_nan=False)

    @classmethod
    def parse(cls, text: "str | bytes") -> "Crop":
        """Read what ``text`` or ``to_json`` gave.

        Raises:
            AlignmentError: it is no such record, or one that no photo can have.
        """
        content = text.encode(errors="replace") if isinstance(text, str) else text
        try:
            if len(content) > MAX_TEXT:
                raise ValueError(f"{len(content)} bytes")
            return _checked(strict_json.parse(content))
        except (ValueError, KeyError, TypeError) as error:
            raise AlignmentError(
                "That is no record of an alignment",
                got=str(error)[:200],
                expected='{"photo": [width, height], "size": S, "quad": four corners [x, y]}',
            ) from error


def _checked(document: dict[str, Any]) -> Crop:
    if sorted(document) != ["photo", "quad", "size"]:
        raise ValueError(f"the keys {', '.join(sorted(document))[:80]}")
    (width, height), size = document["photo"], document["size"]
    if not all(type(value) is int and value > 0 for value in (width, height, size)) or width * height > MAX_PIXELS:
        raise ValueError(f"a photo of {width}x{height} and a size of {size}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"a size of {size}")
    corners = [(x, y) for x, y in document["quad"]]
    if len(corners) != 4 or not all(type(x) in (int, float) for corner in corners for x in corner):
        raise ValueError(f"a quad of {len(corners)} corners, or corners that are no numbers")
    quad = np.array(corners, np.float64)
    if np.abs(quad).max() > MOST:
        raise ValueError(f"a corner at {np.abs(quad).max():.3g}")
    crop = Crop((width, height), size, tuple((float(x), float(y)) for x, y in quad))
    if np.abs(quad[0] + quad[2] - quad[1] - quad[3]).max() > 1e-3 * max(1.0, crop.side):
        raise ValueError("a quad that is no parallelogram")
    if abs(np.linalg.det(crop.basis[:, :2])) < 1:
        raise ValueError("a quad without an area")
    return crop
