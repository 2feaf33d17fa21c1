"""Large arrays of inversions in few bits: PTI's differences are as many numbers as a generator has."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InversionError

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
#: What an array is that is stored in fewer bits, by its name; and at the end of the name of its scales.
NARROW, SCALES = "differences", ".scales"
#: Numbers that share a scale in 8 bits: a few rows of a layer, so that large tensors do not drown small ones.
BLOCK = 128

Arrays = Mapping[str, NDArray[Any]]


def narrowed(arrays: Arrays, stored: str) -> dict[str, NDArray[Any]]:
    """Arrays as they are written: in 8 bits ``x ~ scale * q`` with ``scale = max |x| / 127`` of every block.

    Raises:
        InversionError: another type than the three.
    """
    if stored not in (FLOAT32, FLOAT16, INT8):
        raise InversionError("Inversions are not stored so", got=stored, expected=f"{FLOAT32}, {FLOAT16} or {INT8}")
    found = dict(arrays)
    if stored == FLOAT32 or NARROW not in arrays:
        return found
    if stored == FLOAT16:
        with np.errstate(over="ignore"):
            found[NARROW] = arrays[NARROW].astype(np.float16)
        if not np.isfinite(found[NARROW]).all():
            raise InversionError("The differences do not fit float16", hint=f"Store them as {INT8} or {FLOAT32}.")
        return found
    blocks = _blocks(arrays[NARROW])
    scales = (np.abs(blocks).max(1) / np.float32(127)).astype(np.float32)
    steps = blocks / np.where(scales > 0, scales, np.float32(1))[:, None]
    found[NARROW] = np.rint(steps).astype(np.int8).reshape(-1)[: arrays[NARROW].size]
    found[f"{NARROW}{SCALES}"] = scales
    return found


def widened(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Arrays as they were, in float32.

    Raises:
        ValueError: scales that do not fit.
    """
    found = dict(arrays)
    scales = found.pop(f"{NARROW}{SCALES}", None)
    there = found.get(NARROW)
    if there is None or there.dtype == np.float32:
        if scales is not None:
            raise ValueError("scales without differences in 8 bits")
        return found
    if there.dtype == np.float16 and scales is None:
        found[NARROW] = there.astype(np.float32)
        return found
    if there.dtype != np.int8 or scales is None or scales.dtype != np.float32 or there.ndim != 1:
        raise ValueError(f"differences {there.dtype}, scales {None if scales is None else scales.dtype}")
    blocks = _blocks(there)
    if scales.shape != (len(blocks),):
        raise ValueError(f"scales {list(scales.shape)} for {len(blocks)} blocks")
    found[NARROW] = (blocks.astype(np.float32) * scales[:, None]).reshape(-1)[: there.size]
    return found


def _blocks(row: NDArray[Any]) -> NDArray[Any]:
    """A row in blocks, zeros behind its end."""
    return np.pad(row, (0, -row.size % BLOCK)).reshape(-1, BLOCK)
