"""Results by the paper's measures, as tables."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from ...runtime.quality.evaluation import named, summaries
from ...runtime.quality.published import MODEL_AND_DATA_DIFFER
from .text import OUT, Uncut, add_row, right

if TYPE_CHECKING:
    from ...runtime.quality.comparison import Comparison, Row
    from ...runtime.quality.evaluation import Score, Summary
    from ...runtime.quality.published import Published

PAPER = "The paper has these measures for faces of CelebA-HQ: arXiv:2111.15666, section 4; --beside prints a table."

#: The column of our times, and of a published one if its table calls it so.
SECONDS = "seconds"

#: Why a measure may have no value.
NO_VALUE = {
    "L2": "a picture has a value that is no number",
    "MS-SSIM": "at some scale result and photo differ so much that their contrasts correlate negatively on the whole",
    "LPIPS": "the network gave no number",
    "ID": "the network gave an embedding of no length",
}


def show_scores(scores: "Sequence[Score]", note: str | None) -> None:
    """Print every result's measures, and mean and deviation as the authors' script prints them."""
    names = list(scores[0].values)
    table = Table("photo", *map(right, names))
    for score in scores:
        add_row(table, score.original.name, *(_number(score.values[name]) for name in names))
    OUT.print(table)
    for name, summary in summaries(scores).items():
        OUT.print(f"{name:8s} {_spread(summary)} over {summary.count}{_left_out(name, summary)}")
    if note:
        OUT.print(note)
    OUT.print(PAPER)


def show_beside(scores: "Sequence[Score]", published: "Sequence[Published]") -> None:
    """Print published figures and, in the last row, the means of these results."""
    own = {name: summary.mean for name, summary in summaries(scores).items()}
    names = list(dict.fromkeys([*own, *(name for row in published for name in row.values)]))
    table = Table("method", *map(right, names))
    for row in published:
        add_row(table, row.method, *(f"{row.values[name]:g}" if name in row.values else "-" for name in names))
    table.add_section()
    add_row(table, f"these {len(scores)}", *(_number(own.get(name, math.nan)) for name in names))
    OUT.print(table)
    OUT.print(MODEL_AND_DATA_DIFFER)


def show_comparison(comparison: "Comparison", note: str | None) -> None:
    """Print a row for the results of each method, and below it what was published of that method.

    Where rows are over different photos, a second table has those of the photos that all rows have.
    """
    OUT.print(Uncut(_table(comparison)))
    if comparison.differ and comparison.common:
        OUT.print(f"Over the same photos, the {comparison.common} of which every row has a result:")
        OUT.print(Uncut(_common_table(comparison)))
    for row in comparison.rows:
        for name, summary in row.summaries.items():
            if summary.left_out:
                OUT.print(f"{row.results.name}: {name} over {summary.count}{_left_out(name, summary)}")
        if missing := [photo.name for photo in row.results.missing]:
            OUT.print(f"{row.results.name} has no result of {len(missing)}: {named(missing)}")
    OUT.print("Measures are means and deviations, seconds a photo's in the median, as `invert` noted them.")
    if any(row.published for row in comparison.rows) or comparison.unmeasured:
        OUT.print(MODEL_AND_DATA_DIFFER)
    if note:
        OUT.print(note)


def _table(comparison: "Comparison") -> Table:
    tables = [row.published for row in comparison.rows if row.published] + list(comparison.unmeasured)
    published = [name for row in tables for name in row.values if name != SECONDS]
    names = [*dict.fromkeys([*comparison.rows[0].summaries, *published]), SECONDS]
    table = Table("results", "method", right("steps"), right("photos"), *map(right, names))
    for row in comparison.rows:
        add_row(table, row.results.name, *_cells(row, names))
        if row.published:
            add_row(table, "  published", row.published.method, "", "", *_figures(row.published.values, names))
    for each in comparison.unmeasured:
        add_row(table, "  published only", each.method, "", "", *_figures(each.values, names))
    return table


def _cells(row: "Row", names: Sequence[str]) -> list[str]:
    """A row of ours: where it comes from, its measures, its seconds."""
    origin, own = row.results.origin, row.summaries
    steps = "" if origin.steps is None else "-".join(map(str, sorted(set(origin.steps))))
    measures = [_spread(own[name]) if name in own else "-" for name in names[:-1]]
    seconds = "-" if origin.seconds is None else f"{origin.seconds:.3f}"
    return [origin.method or "-", steps, str(len(row.scores)), *measures, seconds]


def _figures(values: "Mapping[str, float]", names: Sequence[str]) -> list[str]:
    return [f"{values[name]:g}" if name in values else "-" for name in names]


def _common_table(comparison: "Comparison") -> Table:
    names = list(comparison.rows[0].summaries)
    table = Table("results", *map(right, names))
    for row in comparison.rows:
        own = summaries(row.common)
        add_row(table, row.results.name, *(_spread(own[name]) for name in names))
    return table


def _spread(summary: "Summary") -> str:
    return f"{_number(summary.mean)}+-{_number(summary.std)}" if summary.count else "-"


def _left_out(name: str, summary: "Summary") -> str:
    return f" ({summary.left_out} left out: {NO_VALUE[name]})" if summary.left_out else ""


def _number(value: float) -> str:
    return f"{value:.5f}" if math.isfinite(value) else "-"
