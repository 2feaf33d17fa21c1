"""Thresholds: what each method does with outliers, and the two formats' numbers."""

import numpy as np
import pytest

from hyperstyle_deploy.calibration.formats import FP8, INT8
from hyperstyle_deploy.calibration.histogram import Histogram
from hyperstyle_deploy.calibration.thresholds import METHODS, threshold
from hyperstyle_deploy.errors import CalibrationError


def histogram(values: np.ndarray) -> Histogram:
    result = Histogram()
    result.add(values.astype(np.float32))
    return result


NORMAL = np.random.default_rng(0).standard_normal(200_000)
#: One value in 200 000 fifty times above the rest.
OUTLIER = np.append(NORMAL, 200.0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_most_and_never_passes_the_peak(method: str) -> None:
    found = threshold(histogram(NORMAL), method, INT8)
    assert 2.0 < found <= np.abs(NORMAL).max().astype(np.float32)


def test_only_minmax_follows_an_outlier() -> None:
    seen = histogram(OUTLIER)
    assert threshold(seen, "minmax", INT8) == 200
    for method in ("percentile", "mse", "entropy"):
        assert threshold(seen, method, INT8) < 100, method


def test_mse_has_a_smaller_error_than_the_peak() -> None:
    values = OUTLIER.astype(np.float32)
    errors = {
        method: float(np.square(INT8.error(values, INT8.scale(threshold(histogram(values), method, INT8)))).mean())
        for method in ("mse", "minmax")
    }
    assert errors["mse"] < errors["minmax"] / 2


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_zeros_has_threshold_0_and_a_usable_scale(method: str) -> None:
    found = threshold(histogram(np.zeros(10)), method, INT8)
    assert found == 0
    assert INT8.scale(found) == 1


def test_methods_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CalibrationError, match="No such method"):
        threshold(histogram(NORMAL), "median", INT8)
    with pytest.raises(CalibrationError, match="FP8"):
        threshold(histogram(NORMAL), "entropy", FP8)


def test_int8_rounds_half_to_even_and_saturates_symmetrically() -> None:
    values = np.array([0.5, 1.5, -2.5, 126.4, 500, -500], np.float32)
    assert INT8.quantize(values, np.float32(1)).tolist() == [0, 2, -2, 126, 127, -127]
    assert np.array_equal(INT8.error(values[:2], np.float32(1)), [-0.5, 0.5])


def test_fp8_has_four_bits_of_precision_up_to_448() -> None:
    values = np.array([17.0, 18.0, 448.0, 1e9, -1e9], np.float32)
    assert FP8.quantize(values, np.float32(1)).astype(np.float32).tolist() == [16, 18, 448, 448, -448]
    assert FP8.scale(448.0) == 1
