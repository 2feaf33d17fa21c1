"""The paper's measures of a reconstruction, L2 and MS-SSIM, as the authors' evaluation script computes them.

Followed are `scripts/calc_losses_on_images.py` and `criteria/ms_ssim.py` of the authors' repository: both pictures are
resized to 256x256 by Pillow's bilinear filter and brought to [-1, 1]. Their MS-SSIM is not the original paper's: the
dynamic range is guessed at every scale, nothing is clipped, and the result can be NaN.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..images import network_input

#: What pictures are resized to before they are compared.
SIZE = 256
#: Exponents of the five scales, the finest first (Wang et al. 2003).
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: The smallest side that five scales leave room for a whole window.
LEAST_SIDE = 11 << 4

_TAPS, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def paper_input(picture: Image.Image) -> NDArray[np.float32]:
    """A picture as the script compares it: [3, 256, 256] float32 in [-1, 1]."""
    return network_input([picture], SIZE, SIZE)[0]


def l2(result: NDArray[np.float32], original: NDArray[np.float32]) -> float:
    """``mean((result - original)^2)`` over [3, H, W]."""
    return float(np.mean(np.square(result - original, dtype=np.float64)))


def ms_ssim(result: NDArray[np.float32], original: NDArray[np.float32]) -> float:
    """``prod_{j<5} contrast_j^w_j * ssim_5^w_5``, each averaged over channels and pixels at its scale.

    Windows are 11x11 Gaussians of sigma 1.5 that lie inside the image; scales are halved by 2x2 means. The dynamic
    range ends at 255 if ``result`` passes 128 at that scale, else at 1, and starts at -1 if it passes -0.5, else at 0;
    so the measure is not symmetric.

    Args:
        result: [3, H, W] float32, about [-1, 1]; sides of 176 or more.
        original: the same of the picture to compare with.

    Returns:
        1 for equal images; NaN where a mean to be raised to its power is negative, or a value is not finite.
    """
    assert min(result.shape[1:]) >= LEAST_SIDE, result.shape
    left, right = result.astype(np.float64), original.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            left, right = _halved(left), _halved(right)
        full, contrast = _ssim(left, right)
        mean = full if scale == len(WEIGHTS) - 1 else contrast
        product *= mean**weight if mean >= 0 else np.nan  # a fractional power of a negative number
    return float(product)


def _ssim(left: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[float, float]:
    """Means of SSIM and of its contrast term at one scale."""
    span = (255 if left.max() > 128 else 1) + (1 if left.min() < -0.5 else 0)
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    mean_left, mean_right = _blurred(left), _blurred(right)
    variances = _blurred(left * left) - mean_left**2 + _blurred(right * right) - mean_right**2
    covariance = _blurred(left * right) - mean_left * mean_right
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_left * mean_right + c1) / (mean_left**2 + mean_right**2 + c1)
    return float(np.mean(luminance * contrast)), float(np.mean(contrast))


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian window over [C, H, W] where it fits: [C, H - 10, W - 10]."""
    taps = np.exp(-((np.arange(_TAPS) - _TAPS // 2) ** 2) / (2 * _SIGMA**2))
    taps /= taps.sum()
    for axis in (1, 2):
        count = image.shape[axis] - _TAPS + 1
        shifted = (image[:, at : at + count] if axis == 1 else image[:, :, at : at + count] for at in range(_TAPS))
        image = np.asarray(sum(tap * part for tap, part in zip(taps, shifted, strict=True)))
    return image


def _halved(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """2x2 means of [C, H, W]; an odd row or column at the end is left out."""
    even = image[:, : image.shape[1] // 2 * 2, : image.shape[2] // 2 * 2]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
