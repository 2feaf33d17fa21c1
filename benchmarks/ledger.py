"""The ledger of `batch` at a million photos: bytes a row, and seconds to fill it, claim from it, and tell its status.

Run: python benchmarks/ledger.py [--photos 1000000] [--folder DIR] [--json FILE]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from hyperstyle_deploy.runtime.serving.bulk.audit import SIZE, audit
from hyperstyle_deploy.runtime.serving.bulk.document import ledger_document
from hyperstyle_deploy.runtime.serving.bulk.ledger import Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import Recipe
from hyperstyle_deploy.runtime.serving.bulk.roster import Outcome, ProcessKey, Roster
from hyperstyle_deploy.runtime.serving.bulk.table import write_table

#: A path as data sets have them, 70 characters; one photo of a hundred fails.
PATH = "/data/sets/faces/images1024x1024/part-{:04d}/photo-{:09d}-original.jpg"
FAILING = 100
#: Photos whose claims are timed one by one, as workers take them.
TIMED = 2000
RECIPE = Recipe("0" * 64, "onnxruntime", None, 1, 5, None, ("inversion", "image"), 128, 2, ".")


class Stopwatch:
    """Seconds that pass, and seconds that this program takes: on a shared machine the two differ."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Both since the start."""
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def outcome(number: int) -> Outcome:
    """What became of a photo."""
    if number % FAILING == 0:
        return Outcome(0.01, "ImageError", "Cannot read it. Got: another kind of file. Expected: JPEG, PNG or WebP.")
    return Outcome(2.5, None, None, os.urandom(32), 5, 0.05, 70_000 + number % 9999, os.urandom(16))


def add(ledger: Ledger, photos: int) -> tuple[float, float]:
    """Add so many photos, whether or not they are there."""
    watch = Stopwatch()
    sum(ledger.add(PATH.format(number // 10_000, number).encode() for number in range(photos)))
    return watch.read()


def status(path: Path) -> tuple[float, float]:
    """`batch status`, but for the start of Python: a new connection each time; the median of five."""
    found = []
    for _ in range(5):
        watch = Stopwatch()
        with Ledger(path) as ledger:
            ledger_document(ledger)
        found.append(watch.read())
    return sorted(found)[2]


def measure(folder: Path, photos: int) -> dict[str, Any]:
    """Fill a ledger and use it."""
    ledger = Ledger.start(folder / "ledger.sqlite", RECIPE)
    seconds = {"add": add(ledger, photos), "add again": add(ledger, photos)}
    seconds["status, nothing done"] = status(ledger.path)
    roster = Roster(ledger, 1, 660)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    each = []
    for _ in range(TIMED):
        watch = Stopwatch()
        (entry,) = roster.take(worker)
        roster.finish(worker, entry, outcome(entry.number))
        each.append(watch.read())
    while entries := roster.take(worker, 10_000):
        with ledger.writing():
            for entry in entries:
                roster.end(worker, entry.number, outcome(entry.number))
    seconds["status, all done"] = status(ledger.path)
    watch = Stopwatch()
    assert write_table(ledger, folder / "table.csv", ()) == photos
    seconds["export to CSV"] = watch.read()
    watch = Stopwatch()
    assert sum(looked for looked, _ in audit(ledger, SIZE)) == photos - photos // FAILING
    seconds["look for results, none there"] = watch.read()
    ledger.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {
        "photos": photos,
        "bytes_a_row": (folder / "ledger.sqlite").stat().st_size / photos,
        "microseconds_a_photo": [1e6 * median(column) for column in zip(*each, strict=True)],
        "seconds": seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = measure(Path(folder), arguments.photos)
    print(f"{found['photos']:,} photos, {found['bytes_a_row']:.0f} bytes a row; load average {os.getloadavg()[0]:.1f}")
    wall, cpu = found["microseconds_a_photo"]
    print(f"  {'claim and end a photo':30s} {wall:8.0f} us ({cpu:.0f} us of CPU), median of {TIMED}")
    for name, (wall, cpu) in found["seconds"].items():
        print(f"  {name:30s} {wall:8.2f} s  ({cpu:.2f} s of CPU)")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
