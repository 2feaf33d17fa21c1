"""Tuned weights and energies in plain numpy: what every other form of the modulation is compared with."""

import numpy as np
from numpy.typing import NDArray


def tile_offset(offset: NDArray[np.float32], kernel: int) -> NDArray[np.float32]:
    """A layer's offset as a full kernel: [out, in] is tiled to [out, in, k, k], a full one returned as it is."""
    if offset.ndim == 4:
        return offset
    return np.broadcast_to(offset[:, :, None, None], (*offset.shape, kernel, kernel)).copy()


def tuned_weight(base: NDArray[np.float32], offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """``W' = scale * W * (1 + offset)``.

    Args:
        base: ``scale * W``, [out, in, k, k] float32.
        offset: [out, in], tiled over the kernel, or [out, in, k, k], float32.

    Returns:
        [out, in, k, k] float32. An up-convolution takes it with its first two axes exchanged.
    """
    return base * (1 + tile_offset(offset, base.shape[-1]))


def weight_energy(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """``energy[o, i] = sum_k W'[o, i, k]^2``, float32: demodulation is ``rsqrt(energy @ s^2 + 1e-8)``."""
    return np.square(weight).sum((2, 3))
