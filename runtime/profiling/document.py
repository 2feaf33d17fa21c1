"""What a profile found, as one JSON document: docs/profile.md describes every field."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import ReportError
from ..bundle.files import atomic_file
from ..manifest import strict_json
from .cases import Case
from .cold_start import ColdStart
from .distribution import Distribution
from .measure import Measurement
from .nodes import NodeProfile
from .quality import StepQuality

SCHEMA, SCHEMA_VERSION = "hyperstyle-deploy profile", 2
#: A document's fields and their types; those of a case below.
_FIELDS = {"schema": str, "schema_version": int, "date": str, "interrupted": bool, "environment": dict, "cases": list}
_CASE_FIELDS = {"name": str, "setup": dict, "batch": int, "steps": int, "streams": int, "seconds": list}


@dataclass
class CaseReport:
    """One case: its measurement, and what was looked at apart."""

    case: Case
    precision: str
    load_s: float
    cold_start: ColdStart | None = None
    measurement: Measurement = field(default_factory=Measurement)
    nodes: NodeProfile | None = None
    quality: list[StepQuality] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; None for what was not measured."""
        measured, case = self.measurement, self.case
        setup = {**asdict(case.setup), "bundle": str(case.setup.bundle), "precision": self.precision}
        done = bool(measured.inversions)
        return {
            "name": case.name,
            "setup": setup,
            "batch": case.batch,
            "steps": case.steps,
            "streams": case.streams,
            "load_s": self.load_s,
            "cold_start": self.cold_start.to_json() if self.cold_start else None,
            "warmup": {"runs": len(measured.warmup), "stable": measured.stable, "seconds": measured.warmup},
            "inversion": Distribution.of(measured.inversions).to_json() if done else None,
            "images_per_second": case.batch * case.streams / median(measured.elapsed) if measured.elapsed else None,
            "seconds": measured.inversions,
            "stages": stage_rows(measured),
            "clock_overhead": _overhead(measured.overhead),
            "nodes": _nodes(self.nodes),
            "quality": [step.to_json() for step in self.quality],
        }


@dataclass
class Report:
    """All cases of one run of `profile`, and the machine they ran on.

    ``interrupt`` is what ended the run early from outside, ``error`` what did when the latencies were measured already.
    """

    environment: dict[str, Any]
    cases: list[CaseReport]
    date: str
    interrupt: KeyboardInterrupt | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "date": self.date,
            "interrupted": self.interrupt is not None,
            "error": self.error,
            "environment": self.environment,
            "cases": [case.to_json() for case in self.cases],
        }


def stage_rows(measured: Measurement) -> list[dict[str, Any]]:
    """By stage: runs in an inversion, the distribution of one run, seconds and share of the median inversion."""
    if not measured.spans:
        return []
    whole = median(measured.clocked)
    rows = []
    for stage in dict.fromkeys(span.stage for spans in measured.spans for span in spans):
        each = [span.seconds for spans in measured.spans for span in spans if span.stage == stage]
        total = median(sum(span.seconds for span in spans if span.stage == stage) for spans in measured.spans)
        rows.append(_stage(stage, len(each) // len(measured.spans), Distribution.of(each).to_json(), total, whole))
    inversions = zip(measured.clocked, measured.spans, strict=False)
    rest = median(seconds - sum(span.seconds for span in spans) for seconds, spans in inversions)
    return [*rows, _stage("between stages", 1, None, max(rest, 0.0), whole)]


def _stage(stage: str, runs: int, run: dict[str, float] | None, seconds: float, whole: float) -> dict[str, Any]:
    return {"stage": stage, "runs": runs, "run": run, "seconds": seconds, "share": seconds / whole}


def _overhead(share: tuple[float, float, float] | None) -> dict[str, float] | None:
    return dict(zip(("share", "low", "high"), share, strict=True)) if share else None


def _nodes(profile: NodeProfile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "peaks": profile.peaks.to_json(),
        "operators": [share.to_json() for share in profile.operators],
        "nodes": [share.to_json() for share in profile.nodes],
    }


def case_labels(cases: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """What all cases share, and for each of them what it does not, as text."""
    parts = [_parts(case) for case in cases]
    shared = set.intersection(*map(set, parts)) if parts else set()
    common = [part for part in parts[0] if part in shared] if parts else []
    own = [", ".join(part for part in case if part not in shared) for case in parts]
    return ", ".join(common), [text or "the case" for text in own]


def _parts(case: dict[str, Any]) -> list[str]:
    setup = case["setup"]
    threads = f"{setup['threads']} threads" if setup["threads"] else "own threads"
    return [
        Path(setup["bundle"]).name,
        setup["backend"],
        setup["precision"],
        threads,
        f"batch {case['batch']}",
        f"{case['steps']} steps",
        f"{case['streams']} stream{'s' if case['streams'] > 1 else ''}",
    ]


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    with atomic_file(path) as partial:
        partial.write_text(strict_json.dump(document) + "\n")


def read_report(path: Path) -> dict[str, Any]:
    """Read a report's document.

    Raises:
        ReportError: there is none, it is no profile, or one of another version.
    """
    try:
        document = strict_json.parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReportError(f"Cannot read the profile {path}", got=getattr(error, "strerror", None) or error) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ReportError(f"{path} is no profile", expected="a file that `profile --output` or `profile --json` wrote")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ReportError(f"{path} is of another version", got=document.get("schema_version"), expected=SCHEMA_VERSION)
    _check(path, document, _FIELDS)
    for case in document["cases"]:
        _check(path, case, _CASE_FIELDS)
        if not all(isinstance(value, (int, float)) and value > 0 for value in case["seconds"]):
            raise ReportError(f"{path} has seconds that are none", got=case["name"], expected="numbers above 0")
    return document


def _check(path: Path, values: Any, fields: dict[str, type]) -> None:
    wrong = [
        name for name, kind in fields.items() if not isinstance(values, dict) or not isinstance(values.get(name), kind)
    ]
    if wrong:
        raise ReportError(f"{path} lacks fields of a profile, or has them in another type", got=", ".join(wrong))
