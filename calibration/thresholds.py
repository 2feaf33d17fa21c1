"""From a tensor's histogram to the magnitude that becomes the format's largest number; what is above saturates."""

import numpy as np
from onnxruntime.quantization.calibrate import HistogramCollector

from ..errors import CalibrationError
from .formats import Format
from .histogram import BINS, Histogram

METHODS = ("minmax", "entropy", "percentile", "mse")
#: Of the values, in percent, that ``percentile`` keeps below the threshold.
PERCENTILE = 99.999
#: ``entropy`` compares distributions of so many bins on either side of 0 (ONNX Runtime's search is quadratic in it).
_ENTROPY_BINS = 512
_ENTROPY_QUANTIZED_BINS = 128
_MSE_CANDIDATES = np.linspace(0.1, 1.0, 91)


def threshold(histogram: Histogram, method: str, form: Format) -> float:
    """The threshold of a tensor.

    Args:
        histogram: of all values over all photos and steps.
        method: "minmax", the peak; "percentile", below which ``PERCENTILE`` of the values are; "entropy", the least
            Kullback-Leibler divergence (Migacz, "8-bit inference with TensorRT", 2017) as ONNX Runtime searches it;
            "mse", the least mean squared error, of 91 thresholds from a tenth of the peak up to it.
        form: what is quantized to; "entropy" is defined for INT8 alone.

    Raises:
        CalibrationError: the method is unknown, or not one for the format.
    """
    if method not in METHODS or (method == "entropy" and form.name != "int8"):
        raise CalibrationError(f"No such method for {form.title}", got=method, expected=f"one of {', '.join(METHODS)}")
    if method == "minmax" or histogram.peak == 0:
        return histogram.peak
    found = {"percentile": _percentile, "entropy": _entropy, "mse": _least_squares}[method](histogram, form)
    return min(found, histogram.peak)


def _percentile(histogram: Histogram, _: Format) -> float:
    cumulated = np.cumsum(histogram.counts) / histogram.counts.sum()
    return float((np.searchsorted(cumulated, PERCENTILE / 100) + 1) * histogram.width)


def _entropy(histogram: Histogram, _: Format) -> float:
    collector = HistogramCollector("entropy", True, 2 * _ENTROPY_BINS, _ENTROPY_QUANTIZED_BINS, PERCENTILE, "same")
    half = histogram.counts.reshape(_ENTROPY_BINS, -1).sum(1)
    end = histogram.width * BINS
    edges = np.linspace(-end, end, 2 * _ENTROPY_BINS + 1, dtype=np.float32)
    both = np.concatenate([half[::-1], half])
    low, high = collector.get_entropy_threshold(
        (both, edges, np.float32(-histogram.peak), np.float32(histogram.peak)), _ENTROPY_QUANTIZED_BINS
    )
    return float(max(abs(low), abs(high)))


def _least_squares(histogram: Histogram, form: Format) -> float:
    centres = ((np.arange(BINS) + 0.5) * histogram.width).astype(np.float32)
    weights = histogram.counts.astype(np.float64)
    candidates = histogram.peak * _MSE_CANDIDATES
    errors = [float(np.square(form.error(centres, form.scale(peak))) @ weights) for peak in candidates]
    return float(candidates[int(np.argmin(errors))])
