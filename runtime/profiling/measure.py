"""Measure cases in turn: warm-up until stable, then rounds of one inversion each, with and without a stage clock."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

import numpy as np

from ..backends.base import Backend, HostArray
from ..bundle.inversion import Inversion
from ..refinement.loop import refine
from ..refinement.settling import Settling
from ..session import Session
from .cases import Case
from .stage_clock import Span, StageClock

Result = TypeVar("Result")

#: Runs in a row that lie this close together, as a share of their median, are stable, and end a warm-up.
STABLE_RUNS, STABLE_SPREAD = 3, 0.05
MAX_WARMUP_RUNS = 20
#: What a warm-up may take, as a share of the budget's seconds: of a slow case that is its first run alone.
WARMUP_SHARE = 1 / 3
#: Called with a case, what is being done with it, and the share of that which is done.
Watcher = Callable[[Case, str, float], None]
#: Plain runs of every case, even if they take longer than it was given; one at least is followed by a clocked run.
LEAST_RUNS = 3
#: Pairs of plain and clocked runs from which something can be said of the clock's cost.
LEAST_PAIRS = 5


@dataclass(frozen=True)
class Budget:
    """How much to measure of each case: until ``seconds`` are spent or ``runs`` are done, whichever comes first."""

    seconds: float = 10.0
    runs: int = 100


@dataclass
class Measurement:
    """What was measured of a case, in seconds, from the photos on the host to the results on the host.

    ``inversions`` has an entry for every stream of every run, ``elapsed`` one a run: all streams together.
    ``clocked`` and ``clocked_elapsed`` are the same under a stage clock, ``spans`` what it saw, a list an inversion.
    """

    warmup: list[float] = field(default_factory=list)
    inversions: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    clocked: list[float] = field(default_factory=list)
    clocked_elapsed: list[float] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)

    @property
    def stable(self) -> bool:
        """Whether three runs in a row agreed: the warm-up's last, or if it had no time for three, the first after it.

        Runs that count are never chosen by how well they agree.
        """
        runs = self.warmup[-STABLE_RUNS:] if len(self.warmup) >= STABLE_RUNS else self.elapsed[:STABLE_RUNS]
        return len(runs) == STABLE_RUNS and max(runs) - min(runs) <= STABLE_SPREAD * median(runs)

    @property
    def overhead(self) -> tuple[float, float, float] | None:
        """What the stage clock adds, as a share: median and quartiles over pairs of runs, which lie side by side.

        None of fewer than ``LEAST_PAIRS``: they would tell of the machine's noise.
        """
        ratios = [clocked / plain for clocked, plain in zip(self.clocked, self.inversions, strict=False)]
        if len(ratios) < LEAST_PAIRS:
            return None
        low, middle, high = (float(share) for share in np.percentile(ratios, (25, 50, 75)) - 1)
        return middle, low, high


def inverted(
    backend: Backend, photos: HostArray, steps: int, ended: Callable[[], bool] = lambda: False
) -> list[Inversion]:
    """What ``Session.invert`` does once photos are arrays [B, C, H, W]; fewer steps if it is ``ended`` from outside."""
    settling = Settling(len(photos), None)
    for step in refine(backend, photos, steps):
        if not settling.take(step) or ended():
            break
    return Session(backend).settled(settling)


class Inverter:
    """One case ready to run: its backend and its photos, made of one [C, H, W] as the networks see it."""

    def __init__(self, backend: Backend, case: Case, photo: HostArray) -> None:
        self._backend, self.case = backend, case
        #: Photos that differ a little, so that nothing can be shared between them.
        self._photos = np.ascontiguousarray(np.stack([np.roll(photo, shift, -1) for shift in range(case.batch)]))
        self._pool = ThreadPoolExecutor(case.streams)
        self._ended = threading.Event()

    def run(self) -> tuple[list[float], float]:
        """Seconds of an inversion on every stream at once, and of all together."""
        start = time.perf_counter()
        seconds = self._on_all_streams(self._plain)
        return seconds, time.perf_counter() - start

    def run_clocked(self) -> tuple[list[float], float, list[list[Span]]]:
        """The same under a stage clock on each stream, and what the clocks saw."""
        start = time.perf_counter()
        results = self._on_all_streams(self._clocked)
        elapsed = time.perf_counter() - start
        return [seconds for seconds, _ in results], elapsed, [spans for _, spans in results]

    def _on_all_streams(self, work: Callable[[], Result]) -> list[Result]:
        try:
            return list(self._pool.map(lambda _: work(), range(self.case.streams)))
        except BaseException:
            # Threads cannot be interrupted, and Python waits for them before it exits: they look after every step.
            self._ended.set()
            raise

    def _plain(self) -> float:
        start = time.perf_counter()
        inverted(self._backend, self._photos, self.case.steps, self._ended.is_set)
        return time.perf_counter() - start

    def _clocked(self) -> tuple[float, list[Span]]:
        clock = StageClock(self._backend)
        start = time.perf_counter()
        inverted(clock, self._photos, self.case.steps, self._ended.is_set)
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
        budget: for each of them; its warm-up comes on top, ``WARMUP_SHARE`` of it or one run.
        tell: called with a case, "warming up" or "measuring", and the share that is done.
    """
    pending = list(zip(inverters, measurements, strict=True))
    for inverter, measurement in pending:
        _warm_up(inverter, measurement, budget, tell)
    while pending:
        for inverter, measurement in pending:
            _run_once(inverter, measurement, clocked=_has_time_for_clock(measurement, budget))
            tell(inverter.case, "measuring", _share(measurement, budget))
        pending = [pair for pair in pending[1:] + pending[:1] if _share(pair[1], budget) < 1]


def _warm_up(inverter: Inverter, measurement: Measurement, budget: Budget, tell: Watcher) -> None:
    started = time.perf_counter()
    while not measurement.stable and len(measurement.warmup) < MAX_WARMUP_RUNS:
        tell(inverter.case, "warming up", len(measurement.warmup) / MAX_WARMUP_RUNS)
        measurement.warmup.append(inverter.run()[1])
        if time.perf_counter() - started > budget.seconds * WARMUP_SHARE:
            return


def _run_once(inverter: Inverter, measurement: Measurement, clocked: bool) -> None:
    """One plain run, and one under the clock if there is time for it; which comes first alternates."""

    def run_plain() -> None:
        seconds, elapsed = inverter.run()
        measurement.elapsed.append(elapsed)
        measurement.inversions += seconds

    def run_clocked() -> None:
        seconds, elapsed, spans = inverter.run_clocked()
        measurement.clocked_elapsed.append(elapsed)
        measurement.clocked += seconds
        measurement.spans += spans

    runs = [run_plain, run_clocked] if clocked else [run_plain]
    for run in runs if len(measurement.elapsed) % 2 == 0 else reversed(runs):
        run()


def _has_time_for_clock(measurement: Measurement, budget: Budget) -> bool:
    """Whether a plain and a clocked run would end in time; the first round has both in any case."""
    if not measurement.clocked:
        return True
    return _spent(measurement) + 2 * median(measurement.elapsed) <= budget.seconds


def _spent(measurement: Measurement) -> float:
    return sum(measurement.elapsed) + sum(measurement.clocked_elapsed)


def _share(measurement: Measurement, budget: Budget) -> float:
    """How much of a case's budget is spent; less than 1 as long as the least is not done."""
    runs = len(measurement.elapsed)
    share = max(runs / budget.runs, _spent(measurement) / budget.seconds)
    return min(share, (runs / LEAST_RUNS) * 0.999) if runs < min(LEAST_RUNS, budget.runs) else share
