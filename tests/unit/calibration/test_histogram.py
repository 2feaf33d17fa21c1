"""Histograms merge exactly, and say what saturates."""

import itertools

import numpy as np
import pytest

from hyperstyle_deploy.calibration.histogram import BINS, Histogram, merged
from hyperstyle_deploy.errors import CalibrationError

PARTS = [
    np.float32(scale) * np.random.default_rng(n).standard_normal(999, np.float32)
    for n, scale in enumerate((1e-3, 1, 700))
]


def counted(*arrays: np.ndarray) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.add(array)
    return histogram


def same(left: Histogram, right: Histogram) -> bool:
    ends = (left.exponent, left.minimum, left.maximum) == (right.exponent, right.minimum, right.maximum)
    return ends and np.array_equal(left.counts, right.counts)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_neither_order_nor_merging_changes_a_count(order: tuple[int, ...]) -> None:
    together = counted(np.concatenate(PARTS))
    assert same(together, counted(*(PARTS[n] for n in order)))
    assert same(together, merged(counted(PARTS[n]) for n in order))
    assert together.counts.sum() == 3 * 999


def test_merging_leaves_the_parts_alone() -> None:
    part = counted(PARTS[0])
    before = part.counts.copy()
    result = merged([part, counted(PARTS[2])])
    assert result.peak == np.abs(PARTS[2]).max()
    assert part.peak == np.abs(PARTS[0]).max()
    assert np.array_equal(part.counts, before)
    result.add(PARTS[1])
    assert np.array_equal(part.counts, before)


def test_the_bins_are_those_of_the_magnitudes() -> None:
    values = np.array([0, 0.5, -0.5, 0.999, -1.0], np.float32)
    histogram = counted(values)
    assert histogram.exponent == 1  # 1.0 is not below 2^0
    wanted = np.histogram(np.abs(values), bins=BINS, range=(0, 2))[0]
    assert np.array_equal(histogram.counts, wanted)
    assert (histogram.minimum, histogram.maximum, histogram.peak) == (-1.0, np.float32(0.999), 1.0)


def test_zeros_alone_have_no_peak() -> None:
    histogram = counted(np.zeros((2, 3), np.float32))
    assert histogram.peak == 0
    assert histogram.share_above(0.0) == 0
    assert Histogram().peak == 0


def test_zeros_make_no_histogram_coarser() -> None:
    small = counted(np.full(9, 0.01, np.float32))
    both = merged([counted(np.zeros(9, np.float32)), small])
    assert both.exponent == small.exponent
    assert both.counts.tolist() == [9, *small.counts.tolist()[1:]]


def test_the_share_that_saturates() -> None:
    histogram = counted(np.concatenate([np.full(990, 1.0), np.full(10, -100.0)]).astype(np.float32))
    assert histogram.share_above(50.0) == pytest.approx(0.01)
    assert histogram.share_above(100.1) == 0
    edge = counted(np.array([-1, 1, 1, 0.5], np.float32))  # 1 begins a bin: what lies at the threshold is not clipped
    assert edge.share_above(1.0) == 0
    assert edge.share_above(0.75) == 0.75
    assert Histogram().share_above(1.0) == 0


@pytest.mark.parametrize(
    "bad", [np.array([1, np.nan], np.float32), np.array([np.inf], np.float32), np.zeros(0, np.float32)]
)
def test_what_is_not_finite_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(CalibrationError, match="cannot be calibrated"):
        Histogram().add(bad)
