"""Two profiles against each other, case by case."""

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ...errors import ReportError
from .distribution import median_ratio

#: Runs of each side from which the interval means what it says: with three, one in ten would be a false alarm.
LEAST_RUNS = 5


@dataclass(frozen=True)
class CaseRatio:
    """How much slower the second profile was in a case: the ratio of the medians, and a 95 % interval for it.

    ``runs`` are those of the side that has fewer.
    """

    name: str
    runs: int
    before_s: float
    after_s: float
    ratio: float
    low: float
    high: float

    @property
    def distinct(self) -> bool:
        """Whether the interval leaves 1 out, so that noise alone is no likely cause; never of few runs."""
        return self.runs >= LEAST_RUNS and not self.low <= 1 <= self.high

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "distinct": self.distinct}


@dataclass(frozen=True)
class Comparison:
    """Ratios of the cases that both profiles measured, the names of those that only one did, and other differences."""

    ratios: list[CaseRatio]
    only_before: list[str]
    only_after: list[str]
    differences: list[str]
    interrupted: list[str]

    def slower_than(self, limit: float) -> list[CaseRatio]:
        """Cases whose ratio is above ``limit``."""
        return [ratio for ratio in self.ratios if ratio.ratio > limit]

    def to_json(self, failed: Sequence[CaseRatio] = ()) -> dict[str, Any]:
        """As JSON values, with the names of the cases that are too slow."""
        ratios = [ratio.to_json() for ratio in self.ratios]
        return {**asdict(self), "ratios": ratios, "failed": [ratio.name for ratio in failed]}


def compare(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """Compare two documents of ``read_report``; a case is known by its name.

    Raises:
        ReportError: they have no case in common.
    """
    first, second = (
        {case["name"]: case["seconds"] for case in report["cases"] if case["seconds"]} for report in (before, after)
    )
    ratios = [_ratio(name, seconds, second[name]) for name, seconds in first.items() if name in second]
    if not ratios:
        raise ReportError(
            "The two profiles have no case in common",
            got=f"{', '.join(first) or 'none'}, and {', '.join(second) or 'none'}",
            hint="Profile the same bundle name, backend, threads, batch and steps.",
        )
    common = {ratio.name for ratio in ratios}
    only_before, only_after = ([name for name in names if name not in common] for names in (first, second))
    differences = _differences(before["environment"], after["environment"]) + _precisions(before, after, common)
    interrupted = [side for side, report in (("A", before), ("B", after)) if report["interrupted"]]
    return Comparison(ratios, only_before, only_after, differences, interrupted)


def _ratio(name: str, before: list[float], after: list[float]) -> CaseRatio:
    runs = min(len(before), len(after))
    return CaseRatio(name, runs, median(before), median(after), *median_ratio(after, before))


def _precisions(before: dict[str, Any], after: dict[str, Any], names: Set[str]) -> list[str]:
    """Cases of one name whose bundles compute in different precisions."""
    first, second = ({case["name"]: case["setup"].get("precision") for case in r["cases"]} for r in (before, after))
    changed = [name for name in first if name in names and first[name] != second[name]]
    return [f"precision of {name}: {first[name]} -> {second[name]}" for name in changed]


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    machines = [report.get("machine", {}) for report in (before, after)]
    flat = [
        {**{key: machine.get(key) for key in ("cpu", "cores", "system", "gpu")}, **machine.get("versions", {})}
        for machine in machines
    ]
    names = dict.fromkeys([*flat[0], *flat[1]])
    changed = [name for name in names if flat[0].get(name) != flat[1].get(name)]
    return [f"{name}: {flat[0].get(name)} -> {flat[1].get(name)}" for name in changed]
