"""A table of published results, such as a paper's, to stand beside one's own."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ReportError
from .json_values import json_name

#: What the first column is called.
METHOD = "method"
#: What stands wherever published figures stand beside one's own.
MODEL_AND_DATA_DIFFER = (
    "Model and data differ: published figures are of their authors' models, photos and machines. What compares is the "
    "order of the methods, not a number."
)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Published:
    """A row: a method's figures by measure; those that its table leaves empty are not there."""

    method: str
    values: Mapping[str, float]


def row_of(published: Sequence[Published], method: str) -> Published | None:
    """The first row of a method, whatever the case of letters and what joins words: "restyle-psp" is "ReStyle-pSp"."""
    return next((row for row in published if _plain(row.method) == _plain(method)), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def published_document(row: Published) -> dict[str, Any]:
    """A row as JSON has it."""
    return {METHOD: row.method, **{json_name(name): value for name, value in row.values.items()}}


def read_published(path: Path) -> list[Published]:
    """Read a CSV file whose first row is `method` and names of measures, such as `method,L2,MS-SSIM,Time`.

    Args:
        path: the file, UTF-8; an empty cell is a figure that the table does not have.

    Raises:
        ReportError: it cannot be read, its first row is another or names a measure twice, or a cell is no number.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"Cannot read {path}", got=getattr(error, "strerror", None) or error) from error
    if len(text) > _MOST_BYTES:
        raise ReportError(f"{path} is too large for a table", expected=f"at most {_MOST_BYTES} bytes")
    header, *rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if row] or [[]]
    names = header[1:]
    if header[:1] != [METHOD] or not names or len(set(names)) < len(names):
        got = ",".join(header)[:80] or "nothing"
        raise ReportError(
            f"The first row of {path} is another", got=got, expected=f"{METHOD},L2,MS-SSIM,LPIPS or alike"
        )
    return [_published(path, names, row) for row in rows]


def _published(path: Path, names: Sequence[str], row: Sequence[str]) -> Published:
    got = ",".join(row)[:80]
    if len(row) != len(names) + 1:
        raise ReportError(f"A row of {path} has another length", got=got, expected=f"{len(names) + 1} cells")
    try:
        return Published(row[0], {name: float(cell) for name, cell in zip(names, row[1:], strict=True) if cell.strip()})
    except ValueError as error:
        raise ReportError(f"A cell of {path} is no number", got=got) from error
