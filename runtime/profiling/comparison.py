"""Two profiles against each other, case by case."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from ...errors import ReportError
from .distribution import median_ratio


@dataclass(frozen=True)
class CaseRatio:
    """How much slower the second profile was in a case: the ratio of the medians, and a 95 % interval for it."""

    name: str
    before_s: float
    after_s: float
    ratio: float
    low: float
    high: float

    @property
    def distinct(self) -> bool:
        """Whether the interval leaves 1 out, so that noise alone is no likely cause."""
        return not self.low <= 1 <= self.high

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "distinct": self.distinct}


@dataclass(frozen=True)
class Comparison:
    """Ratios of the cases that both profiles measured, the names that only one has, and how the machines differ."""

    ratios: list[CaseRatio]
    only_before: list[str]
    only_after: list[str]
    differences: list[str]

    def slower_than(self, limit: float) -> list[CaseRatio]:
        """Cases whose ratio is above ``limit``."""
        return [ratio for ratio in self.ratios if ratio.ratio > limit]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "ratios": [ratio.to_json() for ratio in self.ratios]}


def compare(before: dict[str, Any], after: dict[str, Any]) -> Comparison:
    """Compare two documents of ``read_report``; a case is known by its name.

    Raises:
        ReportError: they have no case in common.
    """
    first, second = ({case["name"]: case["seconds"] for case in report["cases"]} for report in (before, after))
    ratios = [
        _ratio(name, seconds, second[name])
        for name, seconds in first.items()
        if len(seconds) > 0 and len(second.get(name, ())) > 0
    ]
    if not ratios:
        raise ReportError(
            "The two profiles have no case in common",
            got=f"{', '.join(first) or 'none'}, and {', '.join(second) or 'none'}",
            hint="Profile the same bundle name, backend, threads, batch and steps.",
        )
    common = {ratio.name for ratio in ratios}
    only_before, only_after = ([name for name in names if name not in common] for names in (first, second))
    return Comparison(ratios, only_before, only_after, _differences(before["environment"], after["environment"]))


def _ratio(name: str, before: list[float], after: list[float]) -> CaseRatio:
    return CaseRatio(name, median(before), median(after), *median_ratio(after, before))


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    machines = [report.get("machine", {}) for report in (before, after)]
    flat = [
        {**{key: machine.get(key) for key in ("cpu", "cores", "system", "gpu")}, **machine.get("versions", {})}
        for machine in machines
    ]
    names = dict.fromkeys([*flat[0], *flat[1]])
    changed = [name for name in names if flat[0].get(name) != flat[1].get(name)]
    return [f"{name}: {flat[0].get(name)} -> {flat[1].get(name)}" for name in changed]
