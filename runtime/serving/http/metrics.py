"""What Prometheus reads: queues, batches, latencies by stage, answers by status, memory and descriptors."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ..live.served import Served

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_PREFIX = "hyperstyle"


class Metrics:
    """The metrics of one service; a ``Meter`` of its workers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._stages = Histogram(
            f"{_PREFIX}_stage_seconds",
            "Seconds of a request by stage",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            f"{_PREFIX}_batch_photos",
            "Photos that went through the networks together",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )
        self._answers = Counter(
            f"{_PREFIX}_answers", "Answers by endpoint and status", ["endpoint", "status"], registry=self._registry
        )

    def spent(self, stage: str, seconds: float) -> None:
        """A stage of one request took so long."""
        self._stages.labels(stage).observe(seconds)

    def batched(self, photos: int) -> None:
        """So many photos went through the networks together."""
        self._batches.observe(photos)

    def answered(self, endpoint: str, status: int) -> None:
        """A request was answered; 429 and 503 are the rejects."""
        self._answers.labels(endpoint, str(status)).inc()

    def watch(self, bundles: Iterable[Served]) -> None:
        """Have the bundles' queues and hangs among the metrics."""
        self._registry.register(_Bundles(list(bundles)))  # type: ignore[arg-type]

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


#: Gauges of a bundle: their names, what they say, and where it stands.
_GAUGES: dict[str, tuple[str, Callable[[Served], float]]] = {
    "waiting": ("Requests that wait for a bundle", lambda served: served.worker.waiting),
    "running": ("Requests that a bundle does", lambda served: served.worker.running),
    "stuck": ("1 while a step of a bundle takes longer than any may", lambda served: served.worker.is_stuck),
    "lost": ("Calls of a bundle that hang and were left to themselves", lambda served: served.worker.lost),
}


class _Bundles:
    """Looks at the bundles when it is asked."""

    def __init__(self, bundles: list[Served]) -> None:
        self._bundles = bundles

    def collect(self) -> Iterator[Metric]:
        for name, (what, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", what, labels=["bundle"])
            for served in self._bundles:
                gauge.add_metric([served.name], value(served))
            yield gauge
        reloads = CounterMetricFamily(f"{_PREFIX}_reloads", "Bundles loaded again", labels=["bundle", "outcome"])
        for served in self._bundles:
            for outcome in ("loaded", "failed"):
                reloads.add_metric([served.name, outcome], served.reloads[outcome])
        yield reloads
