"""Which photos: those in folders, of patterns, and in lists of paths (text, CSV, Parquet); read as they are needed."""

import csv
import glob
import io
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from ....errors import ImageError
from ...bundle.files import open_plain
from ...images import SUFFIXES

#: Lists of paths by their suffix; any other file is a photo.
TEXT, CSV, PARQUET = ".txt", ".csv", ".parquet"
#: Characters of a line: a path has at most 4096 bytes nearly everywhere.
MAX_LINE = 1 << 16


def listed(sources: Sequence[str], column: str, results: Path) -> Iterator[bytes]:
    """The absolute paths of photos, in the file system's own bytes; lists' own are not looked for.

    Args:
        sources: photos; folders, with those below them; patterns such as `photos/**/*.jpg`; lists of paths: a `.txt`
            with one a line, a `.csv` or `.parquet` with a ``column`` of them. Paths of a list are relative to its
            folder.
        column: what lists call their paths.
        results: a folder whose files are no photos, should it lie below one that is named, or a pattern match them.

    Raises:
        ImageError: a source that is not there, or names no photos; a list that cannot be read, or lacks the column.
    """
    heads = []
    for source in sources:
        path = Path(source)
        if os.path.exists(source):  # not of the path: that of an empty name is the current folder
            found = _found(path, column, results)
        elif glob.has_magic(source):
            found = _matched(source, os.path.realpath(results))
        else:
            expected = "photos, folders, patterns or lists of photos"
            raise ImageError(f"There is no {source or 'photo without a name'}", expected=expected)
        first = next(found, None)
        if first is None:
            expected = f"files ending in {', '.join(SUFFIXES)}, outside of the output folder, or paths"
            raise ImageError(f"No photos in {source}", expected=expected)
        heads.append(chain([first], found))
    return map(os.fsencode, chain.from_iterable(heads))


def _found(path: Path, column: str, results: Path) -> Iterator[str]:
    if path.is_dir():
        return _below(os.path.abspath(path), os.path.realpath(results))
    readers = {TEXT: _lines, CSV: _csv_column, PARQUET: _parquet_column}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return iter([os.path.abspath(path)])
    folder = os.path.abspath(path.parent)
    return (os.path.normpath(os.path.join(folder, each)) for each in reader(path, column))


def _matched(pattern: str, results: str) -> Iterator[str]:
    """Photos that a pattern matches: a batch that goes on with it must not take its own results for photos.

    As with folders, one that is named and lies among the results is meant.
    """
    named = pattern
    while glob.has_magic(named):
        named = os.path.dirname(named)
    meant = os.path.realpath(named) != results and _is_below(os.path.abspath(named), results)
    for path in map(os.path.abspath, filter(_is_photo, glob.iglob(pattern, recursive=True))):
        if meant or not _is_below(os.path.dirname(path), results):
            yield path


@lru_cache(maxsize=256)
def _is_below(folder: str, results: str) -> bool:
    return os.path.join(os.path.realpath(folder), "").startswith(os.path.join(results, ""))


def _is_photo(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _below(folder: str, results: str) -> Iterator[str]:
    """Photos of a folder and of those below it, by name; links to folders are not followed."""
    if os.path.realpath(folder) == results:
        return
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise ImageError(f"Cannot read the folder {folder}", got=error.strerror) from error
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, results)
        elif _is_photo(entry.name):
            yield entry.path


def _open_text(path: Path) -> io.TextIOWrapper:
    try:
        return io.TextIOWrapper(open_plain(path), "utf-8-sig", "surrogateescape", newline="")
    except OSError as error:
        raise ImageError(f"Cannot read the list {path}", got=error.strerror) from error


def _lines(path: Path, column: str) -> Iterator[str]:
    with _open_text(path) as file:
        while line := file.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise ImageError(f"{path} is no list of paths", got=f"a line of {MAX_LINE} characters or more")
            if "\0" in line:  # UTF-16, or what `find -print0` writes
                raise ImageError(f"{path} is no list of paths", got="a zero byte", expected="UTF-8, a path a line")
            if line.strip():
                yield line.rstrip("\r\n")


def _csv_column(path: Path, column: str) -> Iterator[str]:
    with _open_text(path) as file:
        rows = csv.DictReader(file)
        try:
            if column not in (rows.fieldnames or ()):
                raise _no_column(path, column, rows.fieldnames or ())
            yield from (row[column] for row in rows if row[column])
        except csv.Error as error:
            raise ImageError(f"Cannot read the list {path}", got=f"line {rows.line_num}: {error}") from error


def _parquet_column(path: Path, column: str) -> Iterator[str]:
    from pyarrow import ArrowException, parquet

    try:
        with open_plain(path) as stream, parquet.ParquetFile(stream) as file:
            if column not in file.schema_arrow.names:
                raise _no_column(path, column, file.schema_arrow.names)
            for batch in file.iter_batches(columns=[column]):
                yield from (os.fsdecode(each) for each in batch.column(0).to_pylist() if each)
    except (OSError, ArrowException, TypeError) as error:
        raise ImageError(f"Cannot read the list {path}", got=str(error)[:200]) from error


def _no_column(path: Path, column: str, there: Sequence[str]) -> ImageError:
    return ImageError(
        f"{path} has no column {column}",
        got=", ".join(there)[:200] or "none",
        hint="Name the column of the paths with --column.",
    )
