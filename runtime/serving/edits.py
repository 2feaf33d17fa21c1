"""Edits of inversions in files: single pictures, a contact sheet each, and one document over all."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import OutputError, printable
from ..bundle.inversion import Inversion
from ..editing.change import Edit
from ..editing.sheet import contact_sheet
from ..images import write_png
from ..photos import output_names
from ..session import Session

LOGGER = logging.getLogger(__name__)
#: Edits that are drawn together: at 1024 pixels each takes some hundred megabytes meanwhile.
BATCH = 8
#: What pictures are called that no direction names: the inversion, and what others are mixed into.
ITSELF, MIXED = "inversion", "mix"

#: A direction's name, and the strengths to draw: one of them, or a row.
Strengths: TypeAlias = tuple[str, Sequence[float]]


@dataclass(frozen=True)
class Record:
    """What was written of one inversion: pictures with their edits, and the sheet of all."""

    inversion: Path
    pictures: tuple[tuple[Mapping[str, float], Path], ...]
    sheet: Path


def edit_rows(strengths: Sequence[Strengths]) -> list[list[dict[str, float]]]:
    """Edits in rows: a row for each direction with several strengths, those with a single one in all of them."""
    fixed = {name: values[0] for name, values in strengths if len(values) == 1}
    ranges = [(name, values) for name, values in strengths if len(values) > 1]
    return [[{**fixed, name: value} for value in values] for name, values in ranges] or [[fixed]]


def label(edit: Mapping[str, float]) -> str:
    """An edit as files are called, "smile=2.5,pose=-1"."""
    return ",".join(f"{name}={strength:g}" for name, strength in edit.items())


def edit_files(
    session: Session,
    inversions: Sequence[Path],
    rows: Sequence[Sequence[Mapping[str, float]]],
    folder: Path,
    always: Edit | None = None,
    on_picture: Callable[[], None] = lambda: None,
) -> Iterator[Record]:
    """Draw edits of inversions to `NAME.<edit>.png` and `NAME.sheet.png`, a record each.

    Everything is checked before the first picture is drawn.

    Args:
        session: what draws them.
        inversions: their files.
        rows: strengths of the bundle's directions, as the sheet shows them.
        folder: where to write.
        always: changes that every edit makes besides.
        on_picture: called after each picture.

    Raises:
        InversionError: a file is no inversion of this bundle's model.
        DirectionError: an unknown direction, one of another model, or a strength out of range.
        OutputError: the folder cannot be written, or two inversions have one name.
    """
    names = output_names(inversions)
    resolved = [[{**session.directions.resolved(edit), **(always or {})} for edit in row] for row in rows]
    for change in always or {}:
        change.check(session.manifest)
    for path in inversions:
        session.check(Inversion.load(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}", got=error.strerror) from error
    for path in inversions:
        drawn = _drawn(session, Inversion.load(path), resolved, on_picture)
        record = _written(path, names[path], rows, drawn, folder)
        LOGGER.info("%s: %d edits", path, len(record.pictures))
        yield record


def _drawn(
    session: Session, inversion: Inversion, rows: Sequence[Sequence[Edit]], on_picture: Callable[[], None]
) -> list[NDArray[np.uint8]]:
    """The inversion itself, then every edit, with weights that are computed once."""
    pictures = []
    for picture in session.person(inversion).draw_edits([{}, *(edit for row in rows for edit in row)], BATCH):
        pictures.append(picture)
        on_picture()
    return pictures


def _written(
    path: Path,
    name: str,
    rows: Sequence[Sequence[Mapping[str, float]]],
    drawn: Sequence[NDArray[np.uint8]],
    folder: Path,
) -> Record:
    itself, *edited = drawn
    remaining, cells, pictures = iter(edited), [], []
    for row in rows:
        cells.append([(itself, ITSELF)])
        for edit, picture in zip(row, remaining, strict=False):
            cells[-1].append((picture, label(edit) or MIXED))
            file = folder / f"{name}.{label(edit) or MIXED}.png"
            write_png(file, picture)
            pictures.append((edit, file))
    sheet = folder / f"{name}.sheet.png"
    write_png(sheet, contact_sheet(cells))
    return Record(path, tuple(pictures), sheet)


def edits_document(
    session: Session, records: Sequence[Record], inversions: int, mixes: Sequence[tuple[tuple[int, int], Path]] = ()
) -> dict[str, Any]:
    """What was written; ``interrupted`` says that it is less than the ``inversions`` that were asked for.

    ``mixes`` are rows and the files of the inversions that they are of, in all pictures.
    """
    return {
        "backend": session.backend,
        "method": session.method,
        "model": session.manifest.model,
        "interrupted": len(records) < inversions,
        "mixes": [{"inversion": printable(str(path)), "rows": list(rows)} for rows, path in mixes],
        "inversions": [
            {
                "inversion": printable(str(record.inversion)),
                "sheet": printable(str(record.sheet)),
                "pictures": [{"strengths": dict(edit), "file": printable(str(file))} for edit, file in record.pictures],
            }
            for record in records
        ],
    }
