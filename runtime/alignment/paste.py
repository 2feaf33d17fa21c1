"""The way back: a face, perhaps another by now, in the place of the photo that it was cut from."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import AlignmentError
from ..images import Photo, read_photo
from .crop import Crop

#: The share of the face's side over which it fades into the photo.
FEATHER = 0.1


def paste_back(photo: Photo, face: Photo, crop: Crop, feather: float = FEATHER) -> Image.Image:
    """Put a face into the photo that it was aligned from.

    Args:
        photo: what `align` was given.
        face: the aligned picture or what became of it, at any size: the whole of it covers the crop's square.
        crop: where it belongs.
        feather: share of the side over which the face fades into the photo, 0 to 0.5.

    Returns:
        The upright photo. Beyond the crop's square its pixels are what they were.

    Raises:
        ImageError: a picture that cannot be read.
        AlignmentError: the photo has another size than the one that was aligned, the face is no square, or the feather
            is out of range.
    """
    picture, face = read_photo(photo), read_photo(face)
    _check(picture, face, crop, feather)
    low = np.clip(np.floor(np.min(crop.quad, 0)), 0, picture.size).astype(int)
    high = np.clip(np.ceil(np.max(crop.quad, 0)), 0, picture.size).astype(int)
    if (high <= low).any():
        return picture
    place = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    opacity = _opacity(crop, place, feather)[:, :, None]
    below = np.asarray(picture.crop(place), np.float32)
    above = np.asarray(_laid_out(face, crop, place), np.float32)
    blended = Image.fromarray(np.rint(below + opacity * (above - below)).astype(np.uint8))
    result = picture.copy()
    result.paste(blended, place[:2])
    return result


def _check(photo: Image.Image, face: Image.Image, crop: Crop, feather: float) -> None:
    if photo.size != crop.photo:
        raise AlignmentError(
            "The face was cut out of another photo",
            got=f"{photo.width}x{photo.height} pixels",
            expected="{}x{}".format(*crop.photo),
            hint="Give the photo that was aligned, as large as it was.",
        )
    if face.width != face.height:
        got = f"{face.width}x{face.height} pixels"
        raise AlignmentError("The face is no aligned picture", got=got, expected="a square")
    if not 0 <= feather <= 0.5:
        raise AlignmentError("feather is out of range", got=feather, expected="0 to 0.5")


def _laid_out(face: Image.Image, crop: Crop, place: tuple[int, int, int, int]) -> Image.Image:
    """The face turned and sized as it lies in the photo, seen through a window there; black around it."""
    side = max(1, math.ceil(crop.side))
    if face.width > side:  # what turns it below takes single pixels, and would skip some
        face = face.resize((side, side), Image.Resampling.LANCZOS)
    basis = crop.basis
    inverse = np.linalg.inv(basis[:, :2]) * face.width
    corner = inverse @ (np.asarray(place[:2]) - basis[:, 2])
    rows = np.column_stack([inverse, corner]).ravel().tolist()
    # A frame of the outermost pixels, so that the ones at the edge have neighbours to be mixed with.
    framed = Image.fromarray(np.pad(np.asarray(face), ((2, 2), (2, 2), (0, 0)), "edge"))
    rows[2], rows[5] = rows[2] + 2, rows[5] + 2
    size = (place[2] - place[0], place[3] - place[1])
    return framed.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BICUBIC)


def _opacity(crop: Crop, place: tuple[int, int, int, int], feather: float) -> NDArray[np.float32]:
    """How much of the face is seen at each pixel of the window: 0 beyond its square, rising smoothly, 1 in the middle.

    Along each way of the square t^2 (3 - 2 t) of the share t of the feather that a pixel lies inside; their product.

    Returns:
        [height, width] float32.
    """
    left, upper, right, lower = place
    inverse = np.linalg.inv(crop.basis[:, :2])
    x = np.arange(left, right) + 0.5 - crop.basis[0, 2]
    y = np.arange(upper, lower) + 0.5 - crop.basis[1, 2]
    result = np.ones((len(y), len(x)), np.float32)
    for across, down in inverse:
        share = across * x[None, :] + down * y[:, None]
        inside = np.minimum(share, 1 - share)
        t = np.clip(inside / feather, 0, 1) if feather else (inside > 0).astype(np.float64)
        result *= (t * t * (3 - 2 * t)).astype(np.float32)
    return result
