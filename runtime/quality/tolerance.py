"""How far results may differ, by dtype: one table for export, verification and tests."""

import math

import numpy as np
from numpy.typing import NDArray

#: Largest accepted absolute difference of codes, offsets and images (these in the networks' range, about [-1, 1]).
TOLERANCE = {"float32": 5e-5, "float16": 2e-2, "bfloat16": 1.5e-1}

#: The same on a GPU, without TF32, also relative to an array's largest value. A guess until it was measured on one.
GPU_TOLERANCE = {"float32": 5e-4}

#: Least accepted PSNR of an image in dB, against float32.
LEAST_PSNR = {"float32": 90.0, "float16": 45.0, "bfloat16": 35.0}

#: The tables' names for what a backend says that it computes in.
_DTYPES = {"bf16": "bfloat16", "f32": "float32"}

#: From black to white in the networks' range, [-1, 1].
PEAK = 2.0


def tolerance(precision: str, gpu: bool = False) -> float:
    """The table's entry for what a session computes in (``Session.precision``), on a GPU or not."""
    dtype = _dtype(precision)
    return GPU_TOLERANCE.get(dtype, TOLERANCE[dtype]) if gpu else TOLERANCE[dtype]


def least_psnr(precision: str) -> float:
    """The same of an image's PSNR, in dB."""
    return LEAST_PSNR[_dtype(precision)]


def _dtype(precision: str) -> str:
    """What the tables know it as: of a calibrated bundle ("float32+int8") what its other layers are in."""
    name = precision.partition("+")[0]
    return _DTYPES.get(name, name)


def psnr(image: NDArray[np.float32], reference: NDArray[np.float32], peak: float = PEAK) -> float:
    """``10 log10(peak^2 / mean((image - reference)^2))`` in dB, of values as the networks give them, not clipped.

    Infinite for equal images; NaN if one is not finite.
    """
    error = float(np.mean(np.square(image - reference, dtype=np.float64)))
    return math.inf if error == 0 else 10 * math.log10(peak * peak / error)
