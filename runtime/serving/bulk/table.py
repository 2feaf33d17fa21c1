"""The ledger as a table that other programs read: CSV or Parquet, a row a photo."""

import csv
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from ....errors import OutputError
from ...bundle.files import atomic_file
from .ledger import BLOCK, DONE, STATES, Ledger, Row

CSV, PARQUET = SUFFIXES = (".csv", ".parquet")
#: Columns, with their types as Arrow calls them.
COLUMNS = {
    "path": "string",
    "state": "string",
    "attempts": "int32",
    "error": "string",
    "message": "string",
    "seconds": "float64",
    "ended": "string",
    "sha256": "string",
    "steps": "int32",
    "loop_l2": "float64",
    "bytes": "int64",
    "results": "string",
}


def write_table(ledger: Ledger, path: Path, states: tuple[int, ...]) -> int:
    """Write photos of these states, all if there are none; returns how many. The suffix says how.

    Bytes of names that are not UTF-8 are written as Python's `surrogateescape` in CSV, and as `\\xNN` in Parquet.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    writers = {CSV: _write_csv, PARQUET: _write_parquet}
    if path.suffix.lower() not in writers:
        raise OutputError(f"Cannot write {path}", got=f"the suffix {path.suffix or 'of none'}", expected="csv, parquet")
    with atomic_file(path) as partial:
        return writers[path.suffix.lower()](partial, (_record(ledger, row) for row in ledger.rows(*states)))


def _record(ledger: Ledger, row: Row) -> dict[str, Any]:
    """A photo's row; ``results`` are its files, relative to the ledger's folder of results, with spaces between."""
    done = row.state == DONE
    files = ledger.recipe.files("", row.entry) if done else ()
    ended = None if row.ended is None else datetime.fromtimestamp(row.ended, timezone.utc).isoformat()
    return {
        "path": os.fsdecode(row.entry.path),
        "state": STATES[row.state],
        "attempts": row.attempts,
        "error": row.error,
        "message": row.message,
        "seconds": row.seconds,
        "ended": ended,
        "sha256": row.sha256.hex() if row.sha256 else None,
        "steps": row.steps,
        "loop_l2": row.l2,
        "bytes": row.size,
        "results": " ".join(files),
    }


def _write_csv(path: Path, records: Iterator[dict[str, Any]]) -> int:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        count = 0
        for record in records:
            writer.writerow(record)
            count += 1
    return count


def _write_parquet(path: Path, records: Iterator[dict[str, Any]]) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while block := list(islice(records, BLOCK)):
            for record in block:
                record["path"] = record["path"].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            writer.write_table(pyarrow.Table.from_pylist(block, schema))
            count += len(block)
    return count
