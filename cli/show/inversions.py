"""What became of photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from .text import OUT, add_row, right, show_next

if TYPE_CHECKING:
    from ...runtime.serving.batch import Record


def show_records(folder: Path, records: "Sequence[Record]") -> None:
    """Print what became of each photo, with the loop's L2 before refinement and after every step."""
    table = Table("photo", "", right("seconds"), right("steps"), "loop L2 before refinement and after each step")
    for record in records:
        l2 = " ".join(f"{value:.4f}" for value in record.l2)
        add_row(
            table,
            record.photo.name,
            record.status,
            f"{record.seconds:.1f}" if record.seconds else "",
            "" if record.steps is None else str(record.steps),
            record.error or l2,
        )
    OUT.print(table)
    if any(record.files for record in records):
        OUT.print(f"Results are in {folder}")
        aligned = [file for record in records for file in record.files if file.name.endswith(".aligned.png")]
        if aligned:
            show_next("evaluate", aligned[0], aligned[0].with_name(aligned[0].name.replace(".aligned.", ".")))
        elif len(records) == 1:
            show_next("evaluate", records[0].photo, records[0].files[0])
        elif len(parents := {record.photo.parent for record in records}) == 1:
            show_next("evaluate", *parents, folder)
