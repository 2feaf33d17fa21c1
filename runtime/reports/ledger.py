"""The page of a batch: what became of its photos, what went wrong, and how the time went."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.files import atomic_file
from .page import render, svg

if TYPE_CHECKING:
    from markupsafe import Markup

_UNITS = (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def write_page(path: Path, document: dict[str, Any]) -> None:
    """Write the page of a ledger's details, whole or not at all; it loads nothing from anywhere.

    Raises:
        OutputError: the file cannot be written.
    """
    spent, ended = document["spent"], document["ended"]
    page = render(
        "ledger.html.j2",
        document=document,
        duration=_duration,
        spent=spent and _bars(spent["histogram"], "seconds for a photo", "photos"),
        ended=ended and _over_time(ended),
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _unit(seconds: float) -> tuple[str, float]:
    """What a span of time is told in."""
    return next((unit for unit in _UNITS if seconds >= 2 * unit[1]), _UNITS[-1])


def _duration(seconds: float) -> str:
    name, unit = _unit(seconds)
    return f"{seconds / unit:,.1f} {name}"


def _over_time(histogram: dict[str, list[float]]) -> "Markup":
    """Photos that ended in spans of time, as photos a second."""
    edges = histogram["edges"]
    span = edges[1] - edges[0]
    name, unit = _unit(edges[-1] - edges[0])
    counts = [count / span for count in histogram["counts"]]
    bars = {"counts": counts, "edges": [(edge - edges[0]) / unit for edge in edges]}
    return _bars(bars, f"{name} since the first", "photos a second")


def _bars(histogram: dict[str, list[float]], across: str, up: str) -> "Markup":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(histogram["counts"], histogram["edges"], fill=True, color="#0072B2")
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return svg(figure)
