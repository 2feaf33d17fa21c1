"""The page of a batch: what became of its photos, what went wrong, and how the time went."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.files import atomic_file
from .page import render, svg

if TYPE_CHECKING:
    from markupsafe import Markup


def write_page(path: Path, document: dict[str, Any]) -> None:
    """Write the page of a ledger's details, whole or not at all; it loads nothing from anywhere.

    Raises:
        OutputError: the file cannot be written.
    """
    spent, ended = document["spent"], document["ended"]
    page = render(
        "ledger.html.j2",
        document=document,
        spent=spent and _bars(spent["histogram"], "seconds for a photo", "photos"),
        ended=ended and _bars(_per_second(ended), "hours since the first", "photos a second"),
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _per_second(histogram: dict[str, list[float]]) -> dict[str, list[float]]:
    """Photos that ended in spans of time, as photos a second over hours."""
    edges = histogram["edges"]
    span = edges[1] - edges[0]
    return {
        "counts": [count / span for count in histogram["counts"]],
        "edges": [(edge - edges[0]) / 3600 for edge in edges],
    }


def _bars(histogram: dict[str, list[float]], across: str, up: str) -> "Markup":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(histogram["counts"], histogram["edges"], fill=True, color="#0072B2")
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return svg(figure)
