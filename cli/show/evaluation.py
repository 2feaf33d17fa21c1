"""Results by the paper's measures, as tables."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from ...runtime.quality.evaluation import summaries
from .text import OUT, add_row, right

if TYPE_CHECKING:
    from ...runtime.quality.evaluation import Score
    from ...runtime.quality.published import Published

PAPER = "The paper has these measures for faces of CelebA-HQ: arXiv:2111.15666, section 4; --beside prints a table."

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
        left_out = f" ({summary.left_out} left out: {NO_VALUE[name]})" if summary.left_out else ""
        OUT.print(f"{name:8s} {_number(summary.mean)}+-{_number(summary.std)} over {summary.count}{left_out}")
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


def _number(value: float) -> str:
    return f"{value:.5f}" if math.isfinite(value) else "-"
