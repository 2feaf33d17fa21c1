"""Who works at what: every photo has at most one worker, and what a dead worker had comes back.

A photo that is being worked at names its worker; its attempt is counted before it begins, so that one that takes the
whole machine down is not tried for ever. One transaction gives a photo away: that is what keeps two runs apart.
"""

import socket
import time
from dataclasses import dataclass

import psutil

from .ledger import DONE, FAILED, MAX_TEXT, RUNNING, WAITING, Ledger
from .recipe import Entry

HOST = socket.gethostname()


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt: an ``error`` (its class) with a ``message``, or the results' facts.

    ``sha256`` is the photo's, ``size`` (bytes) and ``digest`` (16 of them) are of its results together.
    """

    seconds: float = 0.0
    error: str | None = None
    message: str | None = None
    sha256: bytes | None = None
    steps: int | None = None
    l2: float | None = None
    size: int | None = None
    digest: bytes | None = None


@dataclass(frozen=True)
class Member:
    """A worker as the ledger has it: ``since`` is when it took its first photo, ``photos`` how many it has ended."""

    id: int
    host: str
    process: int
    created: float
    expires: float
    since: float | None
    photos: int

    def is_alive(self) -> bool:
        """Whether it still works: on this machine its process is there, on another one its lease has not run out."""
        if self.host != HOST:
            return time.time() < self.expires
        try:
            process = psutil.Process(self.process)
            return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.created) < 1
        except psutil.Error:
            return False


class Roster:
    """The workers of a ledger.

    Args:
        ledger: whose photos they work at.
        attempts: how often a photo is tried.
        lease: seconds that a photo may take; a worker of another machine that is silent for longer is dead.
    """

    def __init__(self, ledger: Ledger, attempts: int, lease: float) -> None:
        self._ledger, self._attempts, self._lease = ledger, attempts, lease

    def enlist(self, process: int) -> int:
        """Write down a worker of this machine; returns its number."""
        with self._ledger.writing() as database:
            command = "INSERT INTO workers (host, process, created, expires) VALUES (?, ?, ?, ?)"
            created = psutil.Process(process).create_time()
            number = database.execute(command, (HOST, process, created, time.time() + self._lease)).lastrowid
        assert number is not None
        return number

    def members(self) -> list[Member]:
        """All that are written down, the dead as well."""
        command = "SELECT id, host, process, created, expires, since, photos FROM workers ORDER BY id"
        return [Member(*found) for found in self._ledger.database.execute(command)]

    def take(self, worker: int, count: int = 1) -> list[Entry]:
        """Give a worker photos, those first that never failed; fewer than ``count`` if no more are waiting."""
        now = time.time()
        with self._ledger.writing() as database:
            command = (
                "SELECT number, path, identity FROM photos WHERE state = ? ORDER BY error, milliseconds, number LIMIT ?"
            )
            entries = [Entry(*found) for found in database.execute(command, (WAITING, count))]
            command = "UPDATE photos SET state = ?, attempts = attempts + 1, worker = ? WHERE number = ?"
            database.executemany(command, [(RUNNING, worker, entry.number) for entry in entries])
            command = "UPDATE workers SET expires = ?, since = ifnull(since, ?) WHERE id = ?"
            database.execute(command, (now + self._lease, now, worker))
        return entries

    def finish(self, worker: int, entry: Entry, outcome: Outcome) -> int:
        """Write down what became of a photo that a worker has; returns the state that it is in then."""
        with self._ledger.writing() as database:
            database.execute("UPDATE workers SET photos = photos + 1 WHERE id = ?", (worker,))
            return self.end(worker, entry.number, outcome)

    def dismiss(self, worker: int, outcome: Outcome | None) -> list[tuple[Entry, int]]:
        """Strike a worker off, whose photos end so; None gives them back as if they had never begun.

        Returns:
            The photos that it had, and the states that they are in now.
        """
        with self._ledger.writing() as database:
            command = "SELECT number, path, identity FROM photos WHERE state = ? AND worker = ?"
            entries = [Entry(*found) for found in database.execute(command, (RUNNING, worker))]
            if outcome is None:
                command = "UPDATE photos SET state = ?, attempts = attempts - 1, worker = NULL WHERE number = ?"
                database.executemany(command, [(WAITING, entry.number) for entry in entries])
                ended = [(entry, WAITING) for entry in entries]
            else:
                ended = [(entry, self.end(worker, entry.number, outcome)) for entry in entries]
            database.execute("DELETE FROM workers WHERE id = ?", (worker,))
        return ended

    def end(self, worker: int, number: int, outcome: Outcome) -> int:
        """Inside a transaction; nothing changes if the photo was taken away from the worker in between."""
        database = self._ledger.database
        failed = f"CASE WHEN attempts < {self._attempts:d} THEN {WAITING} ELSE {FAILED} END"
        command = (
            f"UPDATE photos SET state = {DONE if outcome.error is None else failed}, error = ?, milliseconds = ?, "
            "ended = ?, worker = NULL, sha256 = ?, steps = ?, l2 = ?, size = ?, digest = ? "
            "WHERE number = ? AND worker = ? AND state = ?"
        )
        facts = (outcome.sha256, outcome.steps, outcome.l2, outcome.size, outcome.digest)
        spent, now = round(1000 * outcome.seconds), int(time.time())
        changed = database.execute(command, (outcome.error, spent, now, *facts, number, worker, RUNNING)).rowcount
        if changed and outcome.message is not None:
            message = outcome.message[:MAX_TEXT]
            database.execute("INSERT OR REPLACE INTO messages VALUES (?, ?)", (number, message))
        elif changed:
            database.execute("DELETE FROM messages WHERE number = ?", (number,))
        return int(self._ledger.value("SELECT state FROM photos WHERE number = ?", number))
