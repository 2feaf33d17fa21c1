"""Histograms of magnitudes that merge exactly, whatever the order: what calibration remembers of a tensor."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError

BINS = 2048
#: Magnitudes below 2^-40 count as zero.
_LEAST_EXPONENT = -40


@dataclass(eq=False)
class Histogram:
    """How often a tensor's magnitude fell into each of ``BINS`` equal parts of [0, 2^exponent).

    The range is always a power of two. Doubling it adds up neighbouring bins, so counts are exact: one histogram of two
    photos equals two of one photo each, merged. ``minimum`` and ``maximum`` are the values' own.
    """

    exponent: int = _LEAST_EXPONENT
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def peak(self) -> float:
        """The largest magnitude; 0 where nothing was seen."""
        return max(abs(self.minimum), abs(self.maximum)) if self.maximum >= self.minimum else 0.0

    @property
    def width(self) -> float:
        """The width of one bin."""
        return math.ldexp(1 / BINS, self.exponent)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array's values.

        Raises:
            CalibrationError: the array is empty, or not all of it is finite.
        """
        if not values.size or not np.isfinite(values).all():
            raise CalibrationError("A tensor cannot be calibrated", got="Inf or NaN" if values.size else "no values")
        magnitude = np.abs(values).ravel()
        if peak := float(magnitude.max()):
            # frexp gives m in [1/2, 1) with peak = m 2^e, so that peak < 2^e; of 0 it would give 2^0.
            self._widen(math.frexp(peak)[1])
        scaled = magnitude * np.float32(math.ldexp(BINS, -self.exponent))
        self.counts += np.bincount(scaled.astype(np.int32), minlength=BINS)
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def _widen(self, exponent: int) -> None:
        doublings = exponent - self.exponent
        if doublings <= 0:
            return
        counts = self.counts.reshape(-1, min(1 << doublings, BINS)).sum(1)
        self.counts = np.pad(counts, (0, BINS - len(counts)))
        self.exponent = exponent

    def share_above(self, threshold: float) -> float:
        """The share of values whose bin begins at ``threshold`` or above: those that saturate. None at the peak."""
        if threshold >= self.peak:
            return 0.0
        first = math.ceil(threshold / self.width)
        total = int(self.counts.sum())
        return float(self.counts[first:].sum()) / total if total else 0.0


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all that the others counted; they stay as they are."""
    result = Histogram()
    for histogram in histograms:
        part = Histogram(histogram.exponent, histogram.counts.copy(), histogram.minimum, histogram.maximum)
        exponent = max(result.exponent, part.exponent)
        result._widen(exponent)
        part._widen(exponent)
        result.counts = result.counts + part.counts
        result.minimum = min(result.minimum, part.minimum)
        result.maximum = max(result.maximum, part.maximum)
    return result
