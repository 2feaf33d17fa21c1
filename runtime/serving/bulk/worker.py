"""A worker: one process with one session, that takes photos from the ledger until there are none left."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from logging import NullHandler, getLogger
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from ....errors import BatchError, HyperStyleDeployError, OutputError, printable
from ...bundle.files import sha256_of
from ...session import Session, load
from ..batch import FAILED, invert_named
from .ledger import Ledger
from .recipe import Entry, Recipe
from .roster import Ended, Outcome, Roster

#: Seconds between looks at the ledger while all that is left is in others' hands.
IDLE = 0.2
#: What a worker tells: it has its session; it begins with a photo; it ended one; why it cannot go on.
READY, BEGAN, ENDED, BROKE = "ready", "began", "ended", "broke"

Inverter: TypeAlias = Callable[[Entry], Outcome]


def open_inverter(job: "Job", recipe: Recipe, folder: Path) -> Inverter:
    """Load the bundle, to write results into a folder.

    Raises:
        BatchError: it is another model than the ledger's.
    """
    session = load(job.bundle, **job.loading)
    if session.manifest.model != recipe.model:
        got, expected = session.manifest.model[:12], recipe.model[:12]
        raise BatchError("The bundle is another one than when the batch began", got=got, expected=expected)
    return partial(invert_entry, session, recipe, folder)


def invert_entry(session: Session, recipe: Recipe, folder: Path, entry: Entry) -> Outcome:
    """Invert a photo and write its results.

    Raises:
        OutputError: they cannot be written: the disk is full, or the folder read-only.
    """
    started = time.monotonic()
    outputs = recipe.outputs(folder, entry)
    (record,) = invert_named(session, {entry.photo: entry.name}, outputs)
    if record.status == FAILED:
        return Outcome(time.monotonic() - started, record.error_class, record.error)
    size, digest = sealed(record.files)
    return Outcome(
        seconds=time.monotonic() - started,
        sha256=bytes.fromhex(record.sha256 or ""),
        steps=record.steps,
        l2=record.l2[-1] if record.l2 else None,
        size=size,
        digest=digest,
    )


def sealed(files: Sequence[Path]) -> tuple[int, bytes]:
    """The size of files together, and 16 bytes of the SHA-256 over their checksums: read back from where they are.

    Raises:
        OSError: one is not there, or is no plain file.
    """
    digest = hashlib.sha256("".join(map(sha256_of, files)).encode()).digest()[:16]
    return sum(file.stat().st_size for file in files), digest


@dataclass(frozen=True)
class Job:
    """What workers do.

    Attributes:
        ledger: whose photos, and its file.
        bundle: what inverts them; ``loading`` are arguments of ``load``.
        attempts: how often a photo is tried.
        deadline: seconds that a photo may take.
        memory: bytes that a worker may have of its own, or None; what it shares with others does not count.
        open: gives a worker what inverts its photos.
    """

    ledger: Path
    bundle: Path
    loading: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 3
    deadline: float = 600.0
    memory: int | None = None
    open: "Callable[[Job, Recipe, Path], Inverter]" = open_inverter

    def roster(self, ledger: Ledger) -> Roster:
        """The ledger's workers; a lease lasts longer than the watchdog needs to end a photo."""
        return Roster(ledger, self.attempts, self.deadline + 60)


def work(job: Job, connection: Connection) -> None:
    """A worker's whole life; who watches it sends its number in the ledger, and anything to end it."""
    # Ctrl-C in a terminal goes to every process: the one that watches decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_first_to_go()
    getLogger("hyperstyle_deploy").addHandler(NullHandler())  # who watches tells what became of photos
    try:
        number: int = connection.recv()
        with Ledger(job.ledger) as ledger:
            inverter = job.open(job, ledger.recipe, ledger.folder)
            connection.send((READY, None))
            _work_on(job.roster(ledger), ledger, number, inverter, connection)
    except (HyperStyleDeployError, ModuleNotFoundError) as error:
        connection.send((BROKE, str(error)))
    except (EOFError, BrokenPipeError):
        return  # nobody watches any more


def _work_on(roster: Roster, ledger: Ledger, number: int, inverter: Inverter, connection: Connection) -> None:
    entries: list[Entry] = []
    while entries or ledger.unfinished():
        for entry in entries:
            connection.send((BEGAN, entry))
            outcome = attempt(inverter, entry)
            state, entries = roster.exchange(number, entry, outcome, 0 if connection.poll() else 1)
            connection.send((ENDED, Ended(entry, outcome, state)))
        if not entries:
            if connection.poll(IDLE):
                return
            entries = roster.take(number)


def attempt(inverter: Inverter, entry: Entry) -> Outcome:
    """Whatever a photo brings about costs that photo; only what no photo can help ends the worker."""
    started = time.monotonic()
    try:
        return inverter(entry)
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001
        return Outcome(time.monotonic() - started, type(error).__name__, printable(str(error)))


def _be_first_to_go() -> None:
    """Where memory runs out, let the kernel end a worker: it costs a photo, and whoever watches is spared."""
    with suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with_parent() -> None:
    """A worker that nobody watches must not go on: its photo could hang for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
