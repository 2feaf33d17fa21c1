"""Order statistics, and ratios with their spread."""

import statistics

import numpy as np
import pytest

from hyperstyle_deploy.runtime.profiling.distribution import Distribution, median_ratio


def test_the_numbers_are_those_of_the_standard_library() -> None:
    seconds = list(np.random.default_rng(0).gamma(4, 0.1, 501))
    found = Distribution.of(seconds)
    assert found.count == 501
    assert found.median == pytest.approx(statistics.median(seconds))
    assert found.mean == pytest.approx(statistics.fmean(seconds))
    assert found.stdev == pytest.approx(statistics.stdev(seconds))
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    assert (found.p90, found.p95, found.p99) == pytest.approx((cuts[89], cuts[94], cuts[98]))
    assert (found.min, found.max) == (min(seconds), max(seconds))


def test_one_run_has_no_spread() -> None:
    found = Distribution.of([0.5])
    assert {found.min, found.mean, found.median, found.p90, found.p99, found.max} == {0.5}
    assert found.stdev == 0


def test_a_ratio_is_told_from_noise() -> None:
    random = np.random.default_rng(0)
    before = random.normal(1.0, 0.05, 40)
    ratio, low, high = median_ratio(before * 1.3, before)
    assert ratio == pytest.approx(1.3)
    assert 1 < low < 1.3 < high < 1.5
    _, low, high = median_ratio(random.normal(1.0, 0.05, 40), before)
    assert low < 1 < high
    assert median_ratio(before, before) == median_ratio(before, before)  # the same every time
