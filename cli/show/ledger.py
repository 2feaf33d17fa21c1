"""How far a batch is."""

from datetime import timedelta
from typing import Any

from rich.table import Table

from .text import OUT, add_row, right, show_next


def show_ledger(document: dict[str, Any]) -> None:
    """Print photos by state, errors by class, and who works at what rate."""
    states = document["states"]
    OUT.print(", ".join(f"{count} {state}" for state, count in states.items()) + f", of {document['photos']} photos")
    errors = [(state, error, count) for state, found in document["errors"].items() for error, count in found.items()]
    if errors:
        table = Table("error", right("photos"), "")
        for state, error, count in errors:
            add_row(table, error, str(count), "tried again" if state == "waiting" else state)
        OUT.print(table)
    if states["done"]:
        OUT.print(f"{document['seconds'] / states['done']:.2f} s a photo, in one worker")
    if document["workers"]:
        left = document["seconds_left"]
        ends = "" if left is None else f", {timedelta(seconds=left)} left"
        hands = f"{len(document['workers'])} worker{'s' if len(document['workers']) > 1 else ''}"
        OUT.print(f"{hands}, {document['photos_per_second']:.2f} photos a second{ends}")
    OUT.print(f"Results are in {document['folder']}")
    if states["failed"]:
        show_next("batch", "retry", document["ledger"])
