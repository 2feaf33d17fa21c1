"""The two consoles, and what tables need: progress goes to standard error, results to standard output."""

import logging
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from ...errors import OutputError, printable


class PlainConsole(Console):
    """Shows text as it is: names of files are the users' own, with square brackets, or strangers', with escapes."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, with what a terminal would obey made visible."""
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **options)


OUT = PlainConsole(markup=False, highlight=False, soft_wrap=True)
ERR = PlainConsole(stderr=True, markup=False, highlight=False)


class PlainFormatter(logging.Formatter):
    """Does the same for what is logged."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


#: What goes on, from all rooms; `-v` and `--log-file` show it.
LOGGER = logging.getLogger("hyperstyle_deploy")


def set_up(quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """Choose what the commands of this process tell beside their results.

    Raises:
        OutputError: the log file cannot be written.
    """
    ERR.quiet = quiet
    handlers: list[logging.Handler] = []
    if verbose:
        handlers.append(logging.StreamHandler())
        handlers[-1].setFormatter(PlainFormatter("%(message)s"))
    if log_file is not None:
        try:
            handlers.append(logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise OutputError(f"Cannot write {log_file}", got=error.strerror) from error
        handlers[-1].setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    for handler in LOGGER.handlers:
        handler.close()
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(logging.INFO if handlers else logging.WARNING)
    LOGGER.propagate = not handlers


def show_next(*words: object) -> None:
    """Print the command to type next."""
    OUT.print(f"Next: hyperstyle-deploy {' '.join(shlex.quote(str(word)) for word in words)}")


class Uncut:
    """A table as wide as its contents: a narrow terminal breaks its lines, but no figure is cut off."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._table, options.update(width=1000))


def right(name: str) -> Column:
    """A column of numbers."""
    return Column(name, justify="right")


def add_row(table: Table, *cells: str) -> None:
    """Tables read markup in plain strings whatever the console says."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
