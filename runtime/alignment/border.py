"""Where a face's square leaves its photo: reflected, more and more blurred, and at last the photo's median colour."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ROWS = 256


def pad_softly(photo: Image.Image, pad: tuple[int, ...], side: float) -> Image.Image:
    """Pad a photo as FFHQ's preparation does.

    Args:
        photo: RGB.
        pad: pixels at the left, upper, right and lower side, none 0.
        side: of the face's square; the blur has 0.02 of it as its standard deviation.
    """
    left, upper, right, lower = pad
    pixels = np.asarray(photo)
    height, width = pixels.shape[0] + upper + lower, pixels.shape[1] + left + right
    mask = np.maximum(_depth(height, upper, lower)[:, None], _depth(width, left, right)[None, :])
    result = np.empty((height, width, 3), np.uint8)
    for channel in range(3):  # one at a time: a large photo's in float32 have 400 MB
        padded = np.pad(pixels[:, :, channel], ((upper, lower), (left, right)), "reflect").astype(np.float32)
        padded += (blurred(padded, 0.02 * side) - padded) * np.clip(mask * 3 + 1, 0, 1)
        padded += (np.median(padded) - padded) * np.clip(mask, 0, 1)
        result[:, :, channel] = np.clip(np.rint(padded), 0, 255)
    return Image.fromarray(result)


def _depth(length: int, before: int, behind: int) -> NDArray[np.float32]:
    """How deep each pixel of a row is in the padding: 1 at its outer edge, 0 where the photo begins, then below."""
    x = np.arange(length, dtype=np.float32)
    return 1 - np.minimum(x / np.float32(before), (length - 1 - x) / np.float32(behind))


def blurred(channel: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur, cut off at four standard deviations, edges mirrored with the last pixel twice.

    So does `scipy.ndimage.gaussian_filter`. By Fourier transforms: its time does not grow with ``sigma``.

    Args:
        channel: [H, W] float32.
        sigma: standard deviation in pixels.
    """
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    return _along_rows(_along_rows(channel.T, weights).T, weights)


def _along_rows(rows: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Every row convolved with symmetric weights, some rows at a time."""
    radius, length = len(weights) // 2, rows.shape[1]
    # A period of a multiple of 64 has small factors; it is long enough that nothing of its other end comes in.
    period = math.ceil((length + 2 * radius) / 64) * 64
    spectrum = np.fft.rfft(weights, period).astype(np.complex64)
    result = np.empty(rows.shape, np.float32)
    for first in range(0, len(rows), _ROWS):
        mirrored = np.pad(rows[first : first + _ROWS], ((0, 0), (radius, radius)), "symmetric")
        convolved = np.fft.irfft(np.fft.rfft(mirrored, period) * spectrum, period)
        result[first : first + _ROWS] = convolved[:, 2 * radius : 2 * radius + length]
    return result
