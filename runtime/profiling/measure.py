"""Measure cases in turn: warm-up until stable, then rounds of one inversion each, with and without a stage clock."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from ..backends.base import Backend, HostArray
from ..loop import invert
from ..manifest import Manifest
from .cases import Case
from .stage_clock import Span, StageClock

#: Warm-up ends when this many runs in a row lie this close together, as a share of their median.
STABLE_RUNS, STABLE_SPREAD = 3, 0.05
MAX_WARMUP_RUNS = 20
#: Called with a case, what is being done with it, and the share of that which is done.
Watcher = Callable[[Case, str, float], None]
#: What is measured of every case even if it takes longer than it was given.
LEAST_RUNS = 3


@dataclass(frozen=True)
class Budget:
    """How much to measure of each case: until ``seconds`` are spent or ``runs`` are done, whichever comes first."""

    seconds: float = 10.0
    runs: int = 100


@dataclass
class Measurement:
    """What was measured of a case, in seconds, from the photos on the host to the results on the host.

    ``inversions`` has an entry for every stream of every run, ``elapsed`` one a run: all streams together.
    ``clocked`` are inversions under a stage clock, ``spans`` what the clock saw, a list an inversion.
    """

    warmup: list[float] = field(default_factory=list)
    stable: bool = False
    inversions: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    clocked: list[float] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)

    @property
    def overhead(self) -> float:
        """What the stage clock adds, as a share: the runs lie side by side, so it is the median of their ratios."""
        return median(clocked / plain for clocked, plain in zip(self.clocked, self.inversions, strict=False)) - 1


class Inverter:
    """One case ready to run: its backend and its photos.

    ``photo`` is [3, H, W] float32 in [-1, 1] at the networks' input size.
    """

    def __init__(self, backend: Backend, manifest: Manifest, case: Case, photo: HostArray) -> None:
        self._backend, self._manifest, self.case = backend, manifest, case
        #: Photos that differ a little, so that nothing can be shared between them.
        self._photos = np.ascontiguousarray(np.stack([np.roll(photo, shift, -1) for shift in range(case.batch)]))
        self._pool = ThreadPoolExecutor(case.streams)

    def run(self) -> tuple[list[float], float]:
        """Seconds of an inversion on every stream at once, and of all together."""
        start = time.perf_counter()
        seconds = list(self._pool.map(lambda _: self._plain(), range(self.case.streams)))
        return seconds, time.perf_counter() - start

    def run_clocked(self) -> tuple[list[float], list[list[Span]]]:
        """The same under a stage clock on each stream."""
        results = list(self._pool.map(lambda _: self._clocked(), range(self.case.streams)))
        return [seconds for seconds, _ in results], [spans for _, spans in results]

    def _plain(self) -> float:
        start = time.perf_counter()
        invert(self._backend, self._manifest, self._photos, self.case.steps)
        return time.perf_counter() - start

    def _clocked(self) -> tuple[float, list[Span]]:
        clock = StageClock(self._backend)
        start = time.perf_counter()
        invert(clock.as_backend(), self._manifest, self._photos, self.case.steps)
        return time.perf_counter() - start, clock.take()


def measure(
    inverters: Sequence[Inverter],
    measurements: Sequence[Measurement],
    budget: Budget,
    tell: Watcher = lambda case, what, share: None,
) -> None:
    """Warm up and measure all cases, a run of each in every round, so that all meet the same noise.

    Args:
        inverters: the cases.
        measurements: theirs, filled as it goes, so that an interrupted run leaves what it has.
        budget: for each of them; the warm-up may take as much again.
        tell: called with a case, "warming up" or "measuring", and the share that is done.
    """
    pending = list(zip(inverters, measurements, strict=True))
    for inverter, measurement in pending:
        _warm_up(inverter, measurement, budget, tell)
    while pending:
        for inverter, measurement in pending:
            _run_once(inverter, measurement)
            tell(inverter.case, "measuring", _share(measurement, budget))
        pending = [pair for pair in pending[1:] + pending[:1] if _share(pair[1], budget) < 1]


def _warm_up(inverter: Inverter, measurement: Measurement, budget: Budget, tell: Watcher) -> None:
    started = time.perf_counter()
    while not measurement.stable and len(measurement.warmup) < MAX_WARMUP_RUNS:
        tell(inverter.case, "warming up", len(measurement.warmup) / MAX_WARMUP_RUNS)
        measurement.warmup.append(inverter.run()[1])
        last = measurement.warmup[-STABLE_RUNS:]
        spread = (max(last) - min(last)) / median(last)
        measurement.stable = len(last) == STABLE_RUNS and spread <= STABLE_SPREAD
        if time.perf_counter() - started > budget.seconds and len(measurement.warmup) >= STABLE_RUNS:
            return


def _run_once(inverter: Inverter, measurement: Measurement) -> None:
    """One plain run and one under the clock; which comes first alternates."""

    def plain() -> None:
        seconds, elapsed = inverter.run()
        measurement.inversions += seconds
        measurement.elapsed.append(elapsed)

    def clocked() -> None:
        seconds, spans = inverter.run_clocked()
        measurement.clocked += seconds
        measurement.spans += spans

    for run in (plain, clocked) if len(measurement.elapsed) % 2 == 0 else (clocked, plain):
        run()


def _share(measurement: Measurement, budget: Budget) -> float:
    """How much of a case's budget is spent; less than 1 as long as the least is not done."""
    runs, spent = len(measurement.elapsed), sum(measurement.elapsed) + sum(measurement.clocked)
    share = max(runs / budget.runs, spent / budget.seconds)
    return min(share, (runs / LEAST_RUNS) * 0.999) if runs < min(LEAST_RUNS, budget.runs) else share
