"""Where a stage's time goes: its layers over one inversion, folded by operator, against the machine's roofline."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..backends.base import Backend, HostArray
from ..backends.layer_runs import LayerRun
from ..manifest.manifest import Manifest
from ..refinement.loop import invert
from .peaks import Peaks
from .stage_clock import Span, StageClock


@dataclass(frozen=True)
class LayerShare:
    """Layers of one kind over one inversion: a single layer, or all of a stage with one operator.

    ``flops`` and ``bytes`` are of all runs, as far as the library tells shapes; ``floor_s`` is the time that the
    machine's measured peaks allow for them, so ``floor_s / seconds`` is the share of the roofline that was reached.
    """

    stage: str
    operator: str
    name: str | None
    runs: int
    seconds: float
    flops: int
    bytes: int
    floor_s: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class LayerProfile:
    """One inversion, layer by layer: its stages' spans, the layers within, and both folded, the longest first."""

    spans: list[Span]
    runs: list[LayerRun]
    operators: list[LayerShare]
    layers: list[LayerShare]
    peaks: Peaks


def profile_layers(backend: Backend, manifest: Manifest, photos: HostArray, steps: int, peaks: Peaks) -> LayerProfile:
    """Invert photos twice in a backend that was opened with ``Options.layers``; the second time counts.

    Raises:
        BackendError: the backend cannot tell.
    """
    clock = StageClock(backend)
    for _ in range(2):
        clock.take()
        invert(clock.as_backend(), manifest, photos, steps)
    runs = _last_half(backend.layer_runs())
    return LayerProfile(clock.take(), runs, fold(runs, peaks, by_name=False), fold(runs, peaks, by_name=True), peaks)


def fold(runs: Sequence[LayerRun], peaks: Peaks, by_name: bool) -> list[LayerShare]:
    """Sum runs of the same operator of a stage, or of the same layer; the longest first."""
    groups: dict[tuple[str, str, str | None], list[LayerRun]] = defaultdict(list)
    for run in runs:
        groups[run.stage, run.operator, run.name if by_name else None].append(run)
    shares = [
        LayerShare(
            *key,
            runs=len(group),
            seconds=sum(run.seconds for run in group),
            flops=sum(run.flops for run in group),
            bytes=sum(run.bytes for run in group),
            floor_s=sum(peaks.floor(run.flops, run.bytes) for run in group),
        )
        for key, group in groups.items()
    ]
    return sorted(shares, key=lambda share: -share.seconds)


def _last_half(runs: Sequence[LayerRun]) -> list[LayerRun]:
    """The second inversion's runs of each stage, counted from 0."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.stage] = max(counts.get(run.stage, 0), run.run + 1)
    return [
        LayerRun(**{**vars(run), "run": run.run - counts[run.stage] // 2})
        for run in runs
        if run.run >= counts[run.stage] // 2
    ]
