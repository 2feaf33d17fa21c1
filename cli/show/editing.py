"""Directions, edits and films."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .text import OUT, add_row, show_next, size

if TYPE_CHECKING:
    from ...export.engines.single import BuiltFile
    from ...export.personal import Personal
    from ...runtime.editing.direction import Direction
    from ...runtime.serving.edits import Record


def show_directions(bundle: Path, directions: "Sequence[Direction]") -> None:
    """Print what a bundle offers, and how to use the first of it."""
    if not directions:
        OUT.print(f"{bundle} carries no directions.")
        show_next("directions", "import", bundle, "FILE")
        return
    table = Table("direction", "kind", "rows", "strengths that look well", "from")
    for direction in directions:
        (first, end), (low, high) = direction.rows, direction.strengths
        origin = direction.source.get("file", "")
        add_row(table, direction.name, direction.kind, f"{first}:{end}", f"{low:g} to {high:g}", origin)
    OUT.print(table)
    first_name, high = directions[0].name, directions[0].strengths[1]
    show_next("edit", bundle, "NAME.inversion", "--direction", f"{first_name}={high / 2:g}", "-o", "edits")


def show_direction_names(names: Sequence[str]) -> None:
    """Print the names alone, if there are any."""
    if names:
        OUT.print(f"directions: {', '.join(names)}")


def show_edits(records: "Sequence[Record]") -> None:
    """Print where the sheets are, and how many pictures beside each."""
    for record in records:
        pictures = len(record.pictures)
        OUT.print(f"{record.sheet}  {pictures} {'picture' if pictures == 1 else 'pictures'} beside it")


def show_film(film: Mapping[str, Any]) -> None:
    """Print what was written."""
    OUT.print(f"{film['film']}  {film['frames']} frames, {film['seconds']:.1f} s, {size(film['bytes'])}")


def show_personal(written: "Personal", built: "BuiltFile | None" = None) -> None:
    """Print what a person's generator became."""
    OUT.print(f"{written.path}  {size(written.bytes)}, images differ by {written.difference:.1g} at most")
    if built is not None:
        OUT.print(f"{built.path}  {size(built.bytes)}, {built.seconds:.1f} s")
        for warning in built.warnings:
            OUT.print(f"  {warning}", markup=False)
