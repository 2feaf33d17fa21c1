"""Tuned weights and energies in plain numpy: what every other form of the modulation is compared with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What weights and offsets may be stored as. NumPy has no bfloat16: its bits are kept in uint16.
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


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


def modulate(
    base: NDArray[np.float32],
    offset: NDArray[np.float32] | None,
    *,
    up: bool = False,
    scale: float = 1.0,
    dtype: str = "float32",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the kernel writes for one layer: ``W' = scale * W * (1 + offset)`` and the energies of W' as it is stored.

    Args:
        base: W in the layout of its convolution, float32: [out, in, k, k]; [in, out, k, k] if ``up``.
        offset: [out, in] or [out, in, k, k] float32, whether ``up`` or not; None if the layer is not tuned.
        up: whether the layer is an up-convolution.
        scale: multiplies every weight; 1 for the weights of a bundle, which hold it already.
        dtype: what W' is stored as, one of ``DTYPES``.

    Returns:
        W', shape of ``base``, float32 values that ``dtype`` represents; energy, its first two axes, float32.
    """
    gain = np.float32(1)
    if offset is not None:
        full = tile_offset(offset, base.shape[-1])
        gain = 1 + (full.swapaxes(0, 1) if up else full)
    weight = decoded(encoded(np.float32(scale) * base * gain, dtype), dtype)
    return weight, weight_energy(weight)


def encoded(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """float32 ``values`` as they are stored in ``dtype``, rounded to nearest, ties to even."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):  # past float16's largest number comes Inf
            return values.astype(DTYPES[dtype])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), np.uint32(0x7FFF), rounded).astype(np.uint16)


def decoded(stored: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """What is ``stored`` in ``dtype``, as float32."""
    if dtype != "bfloat16":
        return stored.astype(np.float32)
    return (stored.astype(np.uint32) << 16).view(np.float32)
