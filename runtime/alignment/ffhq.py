"""FFHQ's crop of a face, pixel for pixel: the square from its features, shrinking, cutting, padding and sampling.

The steps and their constants are those of FFHQ's preparation (Karras et al., "A Style-Based Generator Architecture for
Generative Adversarial Networks", 2019, appendix A) as the published alignment scripts of HyperStyle, pSp and e4e have
them, with the sampling at the output's own size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ...errors import AlignmentError
from ..images import Photo, read_photo
from .border import pad_softly
from .crop import MAX_SIZE, MIN_SIZE, MOST, Crop
from .landmarks import Features, features

#: What a face's square may measure: in pixels, and in larger sides of its photo.
MIN_SIDE, MAX_SIDES = 4.0, 4.0
#: Pixels of a photo that was padded: 400 MB a channel while it is softened.
MAX_PADDED = 100_000_000


@dataclass(frozen=True)
class Aligned:
    """A face as FFHQ shows faces: RGB, ``crop.size`` pixels a side, and where in the photo it is."""

    picture: Image.Image
    crop: Crop


@dataclass(frozen=True)
class Square:
    """A square in a photo: its centre, and the vector from there to the middle of its right edge; [2] float64 each.

    Pixels are counted from the middle of the first one.
    """

    centre: NDArray[np.float64]
    right: NDArray[np.float64]

    @property
    def side(self) -> float:
        """Length of an edge in pixels."""
        return float(np.hypot(*self.right)) * 2

    @property
    def quad(self) -> NDArray[np.float64]:
        """The corners, upper left, lower left, lower right, upper right: [4, 2] float64."""
        x, y = self.right, _turned(self.right)
        return np.stack([self.centre - x - y, self.centre - x + y, self.centre + x + y, self.centre + x - y])


def align(photo: Photo, landmarks: ArrayLike, size: int = 1024) -> Aligned:
    """Cut a face out of a photo as FFHQ's are cut.

    Args:
        photo: a path to a JPEG, PNG or WebP file, a Pillow image, or an array [H, W, 3] uint8.
        landmarks: [N, 2] in pixels of the upright photo, of a layout in `landmarks.LAYOUTS`.
        size: pixels of the result's side, 16 to 4096. It changes the sampling alone: faces are cut alike at all sizes.

    Raises:
        ImageError: the photo cannot be read.
        AlignmentError: landmarks that are no face's or lie outside the photo, or a size out of range.
    """
    return cut(read_photo(photo), square_of(features(landmarks)), size)


def square_of(face: Features) -> Square:
    """FFHQ's square around a face.

    With v from eye to eye and u from between the eyes to the mouth: it points along v minus u turned by 90 degrees,
    reaches max(2 |v|, 1.8 |u|) from its centre, which is u / 10 below the middle between the eyes.

    Raises:
        AlignmentError: the features are one point, or the eyes stand as if the face looked in two directions.
    """
    eyes = face.right_eye - face.left_eye
    middle = (face.left_eye + face.right_eye) * 0.5
    down = face.mouth - middle
    x = eyes - _turned(down)
    length, reach = np.hypot(*x), max(np.hypot(*eyes) * 2.0, np.hypot(*down) * 1.8)
    if reach * 2 < MIN_SIDE:
        got = f"a square of {reach * 2:.2f} pixels"
        raise AlignmentError("The eyes and the mouth are at one place", got=got, expected=f"{MIN_SIDE:g} or more")
    # Of an upright face both parts point to the right. Eyes that were swapped make them cancel.
    if length < 0.1 * reach:
        raise AlignmentError(
            "The eyes do not fit the mouth",
            got="a face that is upright by the one and upside down by the other",
            expected="the eye at the left of the picture first",
            hint="Are left and right swapped, or was the photo mirrored?",
        )
    return Square(middle + down * 0.1, x / length * reach)


def square_at(quad: object, photo: tuple[int, int], size: int) -> Square:
    """The square of which ``cut`` makes a `Crop` with these corners: one that was found, and moved.

    Args:
        quad: as `Crop.quad`.
        photo, size: as the crop has them. They say how the photo is shrunk first, which moves what is sampled.

    Raises:
        AlignmentError: they are no square's.
    """
    try:
        corners = np.asarray(quad, np.float64)
        if corners.shape != (4, 2) or not (np.abs(corners) <= MOST).all():
            raise ValueError(f"an array {list(corners.shape)}, or numbers out of range")
        shrink, small = _shrunk(photo, float(np.hypot(*(corners[3] - corners[0]))), size)
        corners = (corners * (np.asarray(small) / photo) - 0.5) * shrink
        square = Square(corners.mean(0), (corners[3] - corners[0]) / 2)
        if square.side < MIN_SIDE or np.abs(square.quad - corners).max() > 0.01 * square.side:
            raise ValueError("corners of another shape, or all at one place")
    except (ValueError, TypeError) as error:
        expected = "[[x, y], ...]: upper left, lower left, lower right, upper right"
        raise AlignmentError("These are no corners of a square", got=str(error)[:80], expected=expected) from error
    return square


def cut(photo: Image.Image, square: Square, size: int) -> Aligned:
    """A square of a photo, upright RGB, as a picture of ``size`` pixels a side: with what FFHQ does at borders.

    Raises:
        AlignmentError: the square's centre is outside the photo, the square is far too large, or the size out of range.
    """
    check_size(size)
    _check(photo, square)
    quad, side = square.quad, square.side
    full = np.asarray(photo.size, np.float64)
    shrink, small = _shrunk(photo.size, side, size)
    if shrink > 1:
        photo = photo.resize(small, Image.Resampling.LANCZOS)
        quad, side = quad / shrink, side / shrink
    sampled = Crop((int(full[0]), int(full[1])), size, _corners((quad + 0.5) * (full / photo.size)))

    border = max(round(side * 0.1), 3)
    low, high = np.floor(quad.min(0)).astype(int) - border, np.ceil(quad.max(0)).astype(int) + border
    left, upper = (int(corner) for corner in np.maximum(low, 0))
    right, lower = (int(corner) for corner in np.minimum(high, photo.size))
    photo, quad = photo.crop((left, upper, right, lower)), quad - (left, upper)

    # How far the square and its border leave the photo, left, upper, right, lower. A few pixels do not count.
    beyond = np.concatenate([np.maximum(-low, 0), np.maximum(high - (right, lower), 0)])
    if beyond.max() > border - 4:
        pads = tuple(max(int(own), round(side * 0.3)) for own in beyond)
        width, height = photo.width + pads[0] + pads[2], photo.height + pads[1] + pads[3]
        if width * height > MAX_PADDED:
            got = f"{width}x{height} pixels with its padding"
            raise AlignmentError("The face is too large at the border", got=got, hint="Shrink the photo first.")
        photo, quad = pad_softly(photo, pads, side), quad + pads[:2]
    corners = tuple((quad + 0.5).ravel().tolist())
    picture = photo.transform((size, size), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return Aligned(picture, sampled)


def _shrunk(photo: tuple[int, int], side: float, size: int) -> tuple[int, tuple[int, int]]:
    """By how much a photo is shrunk before a square of it is cut, and its size then."""
    shrink = max(1, int(side / size * 0.5))
    width, height = (max(1, round(length / shrink)) for length in photo)
    return shrink, (width, height)


def check_size(size: int) -> None:
    """See that an aligned picture may have this side.

    Raises:
        AlignmentError: it may not.
    """
    if type(size) is not int or not MIN_SIZE <= size <= MAX_SIZE:
        raise AlignmentError("The size is out of range", got=size, expected=f"{MIN_SIZE} to {MAX_SIZE} pixels")


def _check(photo: Image.Image, square: Square) -> None:
    picture = f"{photo.width}x{photo.height} pixels"
    if not (0 <= square.centre[0] <= photo.width and 0 <= square.centre[1] <= photo.height):
        raise AlignmentError(
            "The landmarks lie outside the photo",
            got=f"a face around {square.centre[0]:.0f}, {square.centre[1]:.0f}",
            expected=f"inside {picture}",
            hint="Landmarks belong to the photo as it is seen: turned as its EXIF data says, and at this size.",
        )
    if square.side > MAX_SIDES * max(photo.size):
        got = f"a square of {square.side:.0f} pixels"
        raise AlignmentError("The landmarks are far larger than the photo", got=got, expected=f"a face in {picture}")


def _turned(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """A quarter turn, from the right to down as pictures have it."""
    return np.array([-vector[1], vector[0]])


def _corners(quad: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in quad)
