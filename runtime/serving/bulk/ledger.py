"""The ledger: a SQLite file with a row a photo, that says of each what became of it.

A row takes 227 bytes with a path of 70 characters, its two indices included. Counts come from the index alone.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from ....errors import BatchError
from ...bundle.files import kind_of
from .recipe import Entry, Recipe, identity_of

WAITING, RUNNING, DONE, FAILED = range(4)
STATES = ("waiting", "running", "done", "failed")
#: Says that a SQLite file is a ledger ("HSDL"), and of which version.
APPLICATION, VERSION = 0x4853444C, 1
#: Seconds that a write waits for others' writes, which take well below a millisecond each.
PATIENCE = 60
#: Rows that are read at once: no reader keeps the writers' log from being folded into the file.
BLOCK = 10_000
#: Rows that are added at once, and KiB to do it in: a block changes nearly every page of the index of hashes.
ADDED, CACHE = 100_000, 65_536
MAX_TEXT = 500

_SCHEMA = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE recipe (document TEXT NOT NULL);
CREATE TABLE photos (
    number INTEGER PRIMARY KEY,
    path BLOB NOT NULL,
    identity BLOB NOT NULL,
    state INTEGER NOT NULL DEFAULT {WAITING},
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    milliseconds INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    worker INTEGER,
    sha256 BLOB,
    steps INTEGER,
    l2 REAL,
    size INTEGER,
    digest BLOB
);
CREATE UNIQUE INDEX by_identity ON photos (identity);
CREATE INDEX by_state ON photos (state, error, milliseconds);
CREATE TABLE messages (number INTEGER PRIMARY KEY, message TEXT NOT NULL);
CREATE TABLE workers (
    id INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    process INTEGER NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    since REAL,
    photos INTEGER NOT NULL DEFAULT 0
);
"""


@dataclass(frozen=True)
class Count:
    """Photos of one state and one last error: how many, and their seconds together."""

    state: int
    error: str | None
    photos: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """What the ledger says of a photo; ``size`` (bytes) and ``digest`` are of its results together."""

    entry: Entry
    state: int
    attempts: int
    error: str | None
    message: str | None
    seconds: float
    ended: int | None
    sha256: bytes | None
    steps: int | None
    l2: float | None
    size: int | None
    digest: bytes | None


class Ledger:
    """An open ledger; several processes may have one open. A context: it is closed at the end."""

    def __init__(self, path: Path) -> None:
        """Open a ledger that is there.

        Raises:
            BatchError: there is none, or it is no ledger of this version.
        """
        self.path = path
        if not path.is_file():
            raise BatchError(f"There is no ledger {path}", got=kind_of(path), expected="what `batch run` wrote")
        with self._typed_errors():
            self.database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            application, version = (self.value(f"PRAGMA {name}") for name in ("application_id", "user_version"))
            if application != APPLICATION:
                self.database.close()
                raise BatchError(f"{path} is no ledger", got="another database", expected="what `batch run` wrote")
            if version != VERSION:
                self.database.close()
                hint = "Go on with the version of hyperstyle-deploy that began the batch, or begin another."
                raise BatchError(f"{path} is a ledger of another version", got=version, expected=VERSION, hint=hint)
            # The log is written through when it is folded into the file: a power cut may cost the last photos' rows,
            # which are then done again, and a killed process nothing.
            self.database.execute("PRAGMA synchronous = NORMAL")
        self.recipe = Recipe.from_json(str(self.value("SELECT document FROM recipe")))

    @classmethod
    def start(cls, path: Path, recipe: Recipe) -> "Ledger":
        """Open the ledger at ``path``, or make it: whole or not at all, and once if two runs come together.

        Raises:
            BatchError: it is there with other settings, or cannot be written.
        """
        if not path.exists():
            partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
            try:
                _write_empty(partial, recipe)
                with suppress(FileExistsError):
                    os.link(partial, path)
            except (OSError, sqlite3.Error) as error:
                raise BatchError(f"Cannot make the ledger {path}", got=error) from error
            finally:
                for beside in ("", "-wal", "-shm"):
                    partial.with_name(partial.name + beside).unlink(missing_ok=True)
        ledger = cls(path)
        recipe.check(ledger.recipe)
        return ledger

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.database.close()

    @property
    def folder(self) -> Path:
        """Where results are."""
        return self.path.parent / self.recipe.folder

    def add(self, paths: Iterable[bytes]) -> Iterator[int]:
        """Add photos that are not there yet; yields how many of them were new, block by block."""
        waiting = iter(paths)
        self.database.execute(f"PRAGMA cache_size = {-CACHE}")
        while block := [(path, identity_of(path)) for path in islice(waiting, ADDED)]:
            with self.writing() as database:
                command = "INSERT INTO photos (path, identity) VALUES (?, ?) ON CONFLICT (identity) DO NOTHING"
                new = database.executemany(command, block).rowcount
            yield new

    def counts(self) -> list[Count]:
        """Photos by state and last error, from the index alone."""
        command = "SELECT state, error, count(*), sum(milliseconds) FROM photos GROUP BY state, error"
        with self._typed_errors():
            return [Count(state, error, n, ms / 1000) for state, error, n, ms in self.database.execute(command)]

    def waiting(self, count: int) -> list[Entry]:
        """Photos that nobody has, those first that never failed."""
        command = (
            "SELECT number, path, identity FROM photos WHERE state = ? ORDER BY error, milliseconds, number LIMIT ?"
        )
        with self._typed_errors():
            return [Entry(*found) for found in self.database.execute(command, (WAITING, count))]

    def unfinished(self) -> bool:
        """Whether photos wait or are being worked at, by anybody."""
        command = "SELECT EXISTS (SELECT 1 FROM photos WHERE state IN (?, ?))"
        return bool(self.value(command, WAITING, RUNNING))

    def rows(self, *states: int) -> Iterator[Row]:
        """Photos of these states, of all without any, in the order in which they were added."""
        command = (
            "SELECT number, path, identity, state, attempts, error, message, milliseconds, ended, sha256, steps, l2, "
            "size, digest FROM photos LEFT JOIN messages USING (number) WHERE number > ? "
            f"ORDER BY number LIMIT {BLOCK}"
        )
        last = -1
        while True:
            with self._typed_errors():
                found = self.database.execute(command, (last,)).fetchall()
            if not found:
                return
            for number, path, identity, state, attempts, error, message, milliseconds, *rest in found:
                if not states or state in states:
                    entry = Entry(number, path, identity)
                    yield Row(entry, state, attempts, error, message, milliseconds / 1000, *rest)
            last = found[-1][0]

    def reopen(self, numbers: Iterable[int]) -> None:
        """Photos that were done, but whose results are gone, wait again."""
        with self.writing() as database:
            command = "UPDATE photos SET state = ?, attempts = 0, milliseconds = 0 WHERE number = ? AND state = ?"
            database.executemany(command, [(WAITING, number, DONE) for number in numbers])

    def retry(self, error: str | None = None) -> int:
        """Photos that failed, all or those of one class of error, wait again with all their attempts; how many."""
        only = "" if error is None else " AND error = ?"
        command = f"UPDATE photos SET state = ?, attempts = 0, milliseconds = 0 WHERE state = ?{only}"
        with self.writing() as database:
            return database.execute(command, (WAITING, FAILED, *([] if error is None else [error]))).rowcount

    def fold(self) -> None:
        """Fold the writers' log into the file, which gives its room back; what others still read or write stays."""
        with suppress(sqlite3.Error):
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def value(self, command: str, *arguments: object) -> Any:
        """The first value that a query gives, None if it gives none."""
        with self._typed_errors():
            found = self.database.execute(command, arguments).fetchone()
        return found[0] if found else None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing.

        Raises:
            BatchError: the disk is full, or the file system lacks the locks that SQLite needs.
        """
        with self._typed_errors():
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield self.database
                self.database.execute("COMMIT")
            finally:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # SQLite's OperationalErrors are the disk's and the locks'.
            hint = "See that the disk has room and is a local one, which SQLite's locks need."
            if not isinstance(error, sqlite3.OperationalError):
                hint = "It is damaged, or no ledger: take a copy of before, or begin anew in another output folder."
            raise BatchError(f"Cannot use the ledger {self.path}", got=error, hint=hint) from error


def _write_empty(path: Path, recipe: Recipe) -> None:
    database = sqlite3.connect(path)
    try:
        database.executescript(_SCHEMA)
        with database:
            database.execute("INSERT INTO recipe VALUES (?)", (recipe.to_json(),))
    finally:
        database.close()
