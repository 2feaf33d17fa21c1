"""Whether what the ledger calls done is still there: photos whose results are gone are done again."""

import os
from collections.abc import Iterator
from pathlib import Path

from .ledger import BLOCK, DONE, Ledger, Row
from .worker import sealed

#: What is looked at: nothing; that every file is there, and their size together; their checksums.
NOTHING, SIZE, BYTES = CHECKS = ("nothing", "size", "bytes")


def audit(ledger: Ledger, check: str) -> Iterator[tuple[int, int]]:
    """Look at the results of every photo that is done, and let those wait again whose results are gone or changed.

    Yields:
        How many photos were looked at, and how many of them wait again, block by block.
    """
    if check == NOTHING:
        return
    looked, gone = 0, []
    for row in ledger.rows(DONE):
        looked += 1
        if not _is_whole(ledger, row, check):
            gone.append(row.entry.number)
        if looked == BLOCK:
            ledger.reopen(gone)
            yield looked, len(gone)
            looked, gone = 0, []
    if looked:
        ledger.reopen(gone)
        yield looked, len(gone)


def _is_whole(ledger: Ledger, row: Row, check: str) -> bool:
    files = ledger.recipe.files(ledger.folder, row.entry)
    try:
        if check == BYTES:
            return sealed(list(map(Path, files))) == (row.size, row.digest)
        return sum(os.stat(file).st_size for file in files) == row.size
    except OSError:
        return False
