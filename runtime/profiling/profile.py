"""A whole profile: cold starts, backends side by side, rounds, and then nodes and quality where they are asked for."""

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import psutil

from ...errors import BackendError, BundleError, HyperStyleDeployError
from ..backends import BACKENDS, Options, open_backend
from ..backends.base import Backend, HostArray
from ..bundle.reader import Bundle, read_manifest
from ..images import Photo
from ..session import Session
from .cases import Case, Setup
from .cold_start import ColdStart, cold_start
from .document import CaseReport, Report
from .environment import NoiseClock, current_state, describe_machine, device_memory, peak_memory
from .measure import Budget, Inverter, measure
from .nodes import NodeProfile, profile_nodes
from .peaks import Peaks, measure_peaks
from .quality import step_quality

#: Called with what is being done, and the share of the whole that is done.
Watcher = Callable[[str, float], None]
#: Shares of the progress bar: cold starts and loading, measuring; the rest is for nodes and quality.
_LOADED, _MEASURED = 0.3, 0.9


@dataclass(frozen=True)
class Wanted:
    """What to look at besides the latencies: cold starts, nodes, and quality after every step."""

    cold_start: bool = False
    nodes: bool = False
    quality: bool = False


@dataclass(frozen=True)
class Loaded:
    """A setup ready to run, and the seconds that it took to load here, with what was warm by then."""

    setup: Setup
    backend: Backend
    seconds: float

    def photos(self, photos: Sequence[Photo]) -> HostArray:
        """As its networks see them."""
        return Session(self.backend).prepare(photos)


class Profiler:
    """Fills a report step by step, so that an interrupted run can show what it has."""

    def __init__(
        self, cases: Sequence[Case], photos: Sequence[Photo], budget: Budget, wanted: Wanted, tell: Watcher
    ) -> None:
        self._cases, self._photos, self._budget, self._wanted, self._tell = cases, photos, budget, wanted, tell
        self._loaded: dict[Setup, Loaded] = {}
        self._peaks: dict[tuple[bool, int], Peaks] = {}
        gpus = [case.setup.device or 0 for case in cases if BACKENDS[case.setup.backend].gpu]
        self._device = gpus[0] if gpus else None
        machine, state = describe_machine(self._device), current_state(self._device)
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.report = Report({"machine": machine, "before": state, "memory": None}, [], date)

    def run(self) -> Report:
        """Do everything; Ctrl-C ends it early, and so does an error behind the latencies."""
        noise = NoiseClock()
        try:
            self._load_and_measure()
            try:
                self._look_closer()
            except HyperStyleDeployError as error:
                self.report.error = str(error)
        except KeyboardInterrupt as interrupt:
            self.report.interrupt = interrupt
        self.report.environment |= {"after": current_state(self._device), "noise": noise.shares()}
        return self.report

    def _load_and_measure(self) -> None:
        try:
            self._load()
            if self._wanted.cold_start:
                self._start_cold()
            self._measure()
        finally:
            # Looking closer takes memory of its own.
            held = None if self._device is None else device_memory(self._device)
            self.report.environment["memory"] = {"peak_bytes": peak_memory(), "device_bytes": held}

    def _load(self) -> None:
        for index, case in enumerate(self._cases):
            if case.setup not in self._loaded:
                self._tell(f"loading {case.setup.name}", _LOADED / 2 * index / len(self._cases))
                self._loaded[case.setup] = _open(case.setup)
            loaded = self._loaded[case.setup]
            self.report.cases.append(CaseReport(case, loaded.backend.precision, loaded.seconds))

    def _start_cold(self) -> None:
        colds: dict[Case, ColdStart] = {}
        for index, entry in enumerate(self.report.cases):
            alone = replace(entry.case, streams=1)
            if alone not in colds:
                self._tell(f"cold start of {alone.name}", _LOADED / 2 * (1 + index / len(self._cases)))
                colds[alone] = cold_start(alone)
            entry.cold_start = colds[alone]

    def _measure(self) -> None:
        inverters = []
        for case in self._cases:
            loaded = self._loaded[case.setup]
            photo = loaded.photos(self._photos[:1])[0]
            inverters.append(Inverter(loaded.backend, case, photo))

        def tell(case: Case, what: str, share: float) -> None:
            self._tell(f"{what} {case.name}", _LOADED + (_MEASURED - _LOADED) * min(share, 1.0))

        measure(inverters, [entry.measurement for entry in self.report.cases], self._budget, tell)

    def _look_closer(self) -> None:
        seen = set()
        for entry in self.report.cases:
            loaded = self._loaded[entry.case.setup]
            if entry.case.setup in seen:
                continue
            seen.add(entry.case.setup)
            if self._wanted.quality:
                self._tell(f"quality of {loaded.setup.name}", _MEASURED)
                most = max(case.steps for case in self._cases if case.setup == loaded.setup)
                entry.quality = step_quality(loaded.backend, list(loaded.photos(self._photos)), most)
            if self._wanted.nodes:
                self._tell(f"nodes of {loaded.setup.name}", _MEASURED)
                entry.nodes = self._nodes(entry.case, loaded)

    def _nodes(self, case: Case, loaded: Loaded) -> NodeProfile:
        """In a backend of their own: noting nodes would slow down what is measured."""
        threads = case.setup.threads or psutil.cpu_count() or 1
        machine = BACKENDS[case.setup.backend].gpu, threads
        if machine not in self._peaks:
            self._peaks[machine] = measure_peaks(loaded.backend, threads)
        noting = _open(case.setup, nodes=True)
        photos = loaded.photos(self._photos[:1]).repeat(case.batch, 0)
        return profile_nodes(noting.backend, photos, case.steps, self._peaks[machine])


def _open(setup: Setup, nodes: bool = False) -> Loaded:
    started = time.perf_counter()
    bundle = Bundle.open(setup.bundle)
    options = Options(setup.threads, setup.precision_hint, setup.device, setup.trust_engines, nodes)
    backend = open_backend(setup.backend, bundle, options)
    return Loaded(setup, backend, time.perf_counter() - started)


def _check(setups: Set[Setup], wanted: Wanted) -> None:
    """What would end the profile after minutes of measuring, told before."""
    for setup in setups:
        if wanted.nodes and not BACKENDS[setup.backend].nodes:
            raise BackendError(f"{setup.backend} tells no times of nodes", hint="Leave out --layers.")
        image = read_manifest(setup.bundle).image
        if wanted.quality and not image.comparable:
            raise BundleError(
                f"{setup.bundle} has no quality to measure",
                got=f"{image.kind} as its input, with which a picture cannot be compared",
                hint="Leave out --quality.",
            )
    _check_memory(setups, wanted)


def _check_memory(setups: Set[Setup], wanted: Wanted) -> None:
    """Cases are measured side by side, so all setups are loaded at once; each takes about twice its files.

    Once more for the largest, where a second backend is loaded for nodes or by a cold start.
    """
    sizes = [sum(file.bytes for file in read_manifest(setup.bundle).files.values()) for setup in setups]
    needed = 2 * (sum(sizes) + (max(sizes) if wanted.nodes or wanted.cold_start else 0))
    free = psutil.virtual_memory().available
    if needed > free:
        raise BackendError(
            "There is too little memory to profile all these bundles side by side",
            got=f"{free / 1e9:.1f} GB available",
            expected=f"about {needed / 1e9:.1f} GB",
            hint="Profile fewer at once, and put the files side by side with `profile compare`.",
        )


def profile(
    cases: Sequence[Case],
    photos: Sequence[Photo],
    budget: Budget,
    wanted: Wanted,
    tell: Watcher = lambda what, share: None,
) -> Report:
    """Measure cases side by side; Ctrl-C ends it early with what was measured until then.

    Args:
        cases: as ``sweep`` makes them, at least one; all their bundles are in memory at once.
        photos: at least one; latencies come from the first, quality from all.
        budget: how much to measure of each case.
        wanted: what to look at besides.
        tell: told what goes on.

    Raises:
        BackendError: a bundle cannot be loaded into its backend or run there, memory would not do for all at once, or
            nodes were asked of a backend that tells none. What fails behind the latencies is in the report instead.
        BundleError: quality was asked of a bundle whose input is no photo.
        ImageError: a photo cannot be read.
    """
    _check({case.setup for case in cases}, wanted)
    return Profiler(cases, photos, budget, wanted, tell).run()
