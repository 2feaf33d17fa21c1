"""Who works at what: every photo has at most one worker, and what a dead worker had comes back.

A photo that is being worked at names its worker; its attempt is counted before it begins, so that one that takes the
whole machine down is not tried for ever. One transaction gives a photo away: that is what keeps two runs apart.
"""

import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from ...bundle.files import remove_leftovers
from .ledger import DONE, FAILED, MAX_TEXT, RUNNING, WAITING, Ledger
from .recipe import Entry

HOST = socket.gethostname()
LOST = "WorkerLost"


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
class Ended:
    """An attempt that is over, and the state that the photo is in then."""

    entry: Entry
    outcome: Outcome
    state: int


@dataclass(frozen=True)
class ProcessKey:
    """A process, told from all others: where it runs, its number, and when it began."""

    host: str
    process: int
    created: float

    @classmethod
    def of(cls, process: int) -> "ProcessKey":
        """A process of this machine."""
        return cls(HOST, process, psutil.Process(process).create_time())

    def is_there(self) -> bool:
        """Whether it runs; of this machine's alone."""
        try:
            process = psutil.Process(self.process)
            return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - self.created) < 1
        except psutil.Error:
            return False


@dataclass(frozen=True)
class Member:
    """A worker as the ledger has it: ``since`` is when it took its first photo, ``photos`` how many it has ended."""

    id: int
    key: ProcessKey
    expires: float
    since: float | None
    photos: int

    def is_alive(self) -> bool:
        """Whether it still works: on this machine its process is there, on another one its lease has not run out."""
        return self.key.is_there() if self.key.host == HOST else time.time() < self.expires


class Roster:
    """The workers of a ledger.

    Args:
        ledger: whose photos they work at.
        attempts: how often a photo is tried.
        lease: seconds that a photo may take; a worker of another machine that is silent for longer is dead.
    """

    def __init__(self, ledger: Ledger, attempts: int, lease: float) -> None:
        self._ledger, self._attempts, self._lease = ledger, attempts, lease

    def enlist(self, key: ProcessKey) -> int:
        """Write down a worker; returns its number."""
        with self._ledger.writing() as database:
            command = "INSERT INTO workers (host, process, created, expires) VALUES (?, ?, ?, ?)"
            expires = time.time() + self._lease
            facts = (key.host, key.process, key.created, expires)
            number = database.execute(command, facts).lastrowid
        assert number is not None
        return number

    def members(self) -> list[Member]:
        """All that are written down, the dead as well."""
        command = "SELECT id, host, process, created, expires, since, photos FROM workers ORDER BY id"
        found = self._ledger.database.execute(command)
        return [
            Member(number, ProcessKey(host, process, created), *rest) for number, host, process, created, *rest in found
        ]

    def take(self, worker: int, count: int = 1) -> list[Entry]:
        """Give a worker photos, those first that never failed; fewer than ``count`` if no more are waiting."""
        with self._ledger.writing():
            return [entry for entry in self._ledger.waiting(count) if self._give(worker, entry)]

    def begin(self, worker: int, entry: Entry) -> bool:
        """Give a worker this photo; False if it does not wait any more."""
        with self._ledger.writing():
            return self._give(worker, entry)

    def _give(self, worker: int, entry: Entry) -> bool:
        """Inside a transaction."""
        database, now = self._ledger.database, time.time()
        command = "UPDATE workers SET expires = ?, since = ifnull(since, ?) WHERE id = ?"
        database.execute(command, (now + self._lease, now, worker))
        command = "UPDATE photos SET state = ?, attempts = attempts + 1, worker = ? WHERE number = ? AND state = ?"
        return database.execute(command, (RUNNING, worker, entry.number, WAITING)).rowcount == 1

    def finish(self, worker: int, entry: Entry, outcome: Outcome) -> int:
        """Write down what became of a photo that a worker has; returns the state that it is in then."""
        with self._ledger.writing():
            return self._finish(worker, entry, outcome)

    def exchange(self, worker: int, entry: Entry, outcome: Outcome, count: int = 1) -> tuple[int, list[Entry]]:
        """``finish`` one photo and ``take`` others, in one transaction."""
        with self._ledger.writing():
            state = self._finish(worker, entry, outcome)
            return state, [each for each in self._ledger.waiting(count) if self._give(worker, each)]

    def _finish(self, worker: int, entry: Entry, outcome: Outcome) -> int:
        self._ledger.database.execute("UPDATE workers SET photos = photos + 1 WHERE id = ?", (worker,))
        return self.end(worker, entry.number, outcome)

    def dismiss(self, worker: int, outcome: Outcome | None) -> list[Ended]:
        """Strike off a worker that is dead: its photo ends so; None gives it back as if it had never begun.

        Half-written results are removed. Returns the attempts that ended so.
        """
        with self._ledger.writing() as database:
            command = "SELECT number, path, identity FROM photos WHERE state = ? AND worker = ?"
            entries = [Entry(*found) for found in database.execute(command, (RUNNING, worker))]
            if outcome is None:
                command = "UPDATE photos SET state = ?, attempts = attempts - 1, worker = NULL WHERE number = ?"
                database.executemany(command, [(WAITING, entry.number) for entry in entries])
                ended = []
            else:
                ended = [Ended(entry, outcome, self.end(worker, entry.number, outcome)) for entry in entries]
            database.execute("DELETE FROM workers WHERE id = ?", (worker,))
        for entry in entries:
            for file in self._ledger.recipe.files(self._ledger.folder, entry):
                remove_leftovers(Path(file))
        return ended

    def bury(self, but: Collection[int] = ()) -> list[Ended]:
        """Take back what dead workers of any run had, ``but`` those that somebody watches."""
        lost = Outcome(0.0, LOST, "its worker is gone, and so is who watched it")
        dead = [member.id for member in self.members() if member.id not in but and not member.is_alive()]
        return [ended for number in dead for ended in self.dismiss(number, lost)]

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
