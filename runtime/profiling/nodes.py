"""Where a stage's time goes: its nodes over one inversion, folded by operator, against the machine's roofline."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..backends.base import Backend, HostArray
from ..backends.node_runs import NodeRun
from .measure import inverted
from .peaks import Peaks
from .stage_clock import Span, StageClock


@dataclass(frozen=True)
class NodeShare:
    """Nodes of one kind over one inversion: a single node, or all of a stage with one operator.

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
class NodeProfile:
    """One inversion, node by node: its stages' spans, the nodes within, and both folded, the longest first."""

    spans: list[Span]
    runs: list[NodeRun]
    operators: list[NodeShare]
    nodes: list[NodeShare]
    peaks: Peaks


def profile_nodes(backend: Backend, photos: HostArray, steps: int, peaks: Peaks) -> NodeProfile:
    """Invert photos twice in a backend that was opened with ``Options.nodes``; the second time counts.

    Raises:
        BackendError: the backend cannot tell.
    """
    clock = StageClock(backend)
    for _ in range(2):
        clock.take()
        inverted(clock, photos, steps)
    runs = _last_half(backend.node_runs())
    return NodeProfile(clock.take(), runs, fold(runs, peaks, by_name=False), fold(runs, peaks, by_name=True), peaks)


def fold(runs: Sequence[NodeRun], peaks: Peaks, by_name: bool) -> list[NodeShare]:
    """Sum runs of the same operator of a stage, or of the same node; the longest first."""
    groups: dict[tuple[str, str, str | None], list[NodeRun]] = defaultdict(list)
    for run in runs:
        groups[run.stage, run.operator, run.name if by_name else None].append(run)
    shares = [
        NodeShare(
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


def _last_half(runs: Sequence[NodeRun]) -> list[NodeRun]:
    """The second inversion's runs of each stage, counted from 0."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.stage] = max(counts.get(run.stage, 0), run.run + 1)
    return [
        NodeRun(**{**vars(run), "run": run.run - counts[run.stage] // 2})
        for run in runs
        if run.run >= counts[run.stage] // 2
    ]
