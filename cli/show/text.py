"""The two consoles, and what tables need: progress goes to standard error, results to standard output."""

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

# No markup: names of files and options are the users' own text, square brackets and all.
OUT = Console(markup=False, highlight=False, soft_wrap=True)
ERR = Console(stderr=True, markup=False, highlight=False)


def right(name: str) -> Column:
    """A column of numbers."""
    return Column(name, justify="right")


def add_row(table: Table, *cells: str) -> None:
    """Tables read markup in plain strings whatever the console says."""
    table.add_row(*(Text(cell) for cell in cells))


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
