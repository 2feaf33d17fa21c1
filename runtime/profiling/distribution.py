"""A latency's distribution: order statistics, and the spread of a ratio of two medians."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

#: Resamples of a bootstrap, and the share of them that an interval holds.
RESAMPLES, CONFIDENCE = 2000, 0.95


@dataclass(frozen=True)
class Distribution:
    """Seconds of ``count`` runs. Percentiles lie between neighbouring runs; of few runs p99 is near the maximum."""

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    stdev: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Distribution":
        """The distribution of at least one run."""
        values = np.asarray(seconds, np.float64)
        p90, p95, p99 = (float(value) for value in np.percentile(values, (90, 95, 99)))
        low, mean, median, high = values.min(), values.mean(), np.median(values), values.max()
        stdev = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        return cls(len(values), float(low), float(mean), float(median), p90, p95, p99, float(high), stdev)

    def to_json(self) -> dict[str, float]:
        """As JSON values."""
        return asdict(self)


def median_ratio(seconds: Sequence[float], against: Sequence[float]) -> tuple[float, float, float]:
    """The ratio of two medians, and the interval that holds it with ``CONFIDENCE`` by a seeded bootstrap.

    Runs of one side are taken as independent: on a machine that slows down for a while the interval is too narrow.
    """
    above, below = np.asarray(seconds, np.float64), np.asarray(against, np.float64)
    random = np.random.default_rng(0)

    def medians(values: np.ndarray) -> np.ndarray:
        return np.median(random.choice(values, (RESAMPLES, len(values))), axis=1)

    ratios = medians(above) / medians(below)
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(np.median(above) / np.median(below)), float(low), float(high)
