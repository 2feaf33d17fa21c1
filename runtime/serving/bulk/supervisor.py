"""Who watches the workers: starts them, ends those that take too long or too much memory, starts others instead."""

import multiprocessing
import time
from collections.abc import Callable
from logging import getLogger
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from ....errors import BatchError
from .ledger import Ledger
from .recipe import Entry
from .roster import Ended, Outcome, ProcessKey
from .worker import BEGAN, BROKE, ENDED, READY, Job, work

LOGGER = getLogger(__name__)
#: Seconds between looks at the workers' time and memory, and between looks for other runs' dead workers.
LOOK, LOOK_FOR_DEAD = 0.1, 2.0
#: Seconds that a worker may take to load its session, and how often in a row loading may fail.
LOADING, STARTS = 900.0, 3
#: Errors of photos that their worker did not live to tell.
DIED, LATE, TOO_LARGE = "WorkerDied", "DeadlineExceeded", "MemoryExceeded"


class Supervised:
    """A worker as its supervisor sees it."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        context = multiprocessing.get_context("spawn")  # a forked process would have the parent's database and threads
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(job, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self._job = job
        self._memory = psutil.Process(self.process.pid)
        self.number = job.roster(ledger).enlist(ProcessKey.of(self._memory.pid))
        self.connection.send(self.number)
        self.is_ready = False
        self.entry: Entry | None = None
        self.since = time.monotonic()
        #: Why it was ended, error and message, if it was; and whether its photo could not help it.
        self.verdict: tuple[str, str] | None = None
        self.is_excused = False

    @property
    def seconds(self) -> float:
        """How long it has been at its photo, or at loading."""
        return time.monotonic() - self.since

    def judge(self) -> None:
        """End it if its time or its memory is up."""
        if self._job.memory is not None and (own := self._own_memory()) > self._job.memory:
            self.end(TOO_LARGE, f"its worker had {own >> 20} MiB, of {self._job.memory >> 20}")
        elif not self.is_ready or self.entry is not None:
            allowed = self._job.deadline if self.is_ready else LOADING
            if self.seconds > allowed:
                self.end(LATE, f"it took more than {allowed:g} s")

    def _own_memory(self) -> int:
        """Without pages of files, such as constants, which workers share."""
        try:
            memory = self._memory.memory_info()
        except psutil.Error:
            return 0
        return int(memory.rss - getattr(memory, "shared", 0))

    def end(self, error: str, message: str) -> None:
        """Kill it: it may hang in a call that no signal ends."""
        self.verdict = self.verdict or (error, message)
        self.process.kill()

    def outcome(self) -> Outcome | None:
        """What its photo's attempt comes to, now that it is dead; None if the attempt does not count."""
        if self.is_excused:
            return None
        code = self.process.exitcode or 0
        died = f"its worker ended with {f'signal {-code}' if code < 0 else f'status {code}'}"
        return Outcome(self.seconds, *(self.verdict or (DIED, died)))


class Supervisor:
    """Runs a job with some workers until every photo of the ledger is done or failed.

    Args:
        ledger: open, for this process alone.
        job: what the workers do.
        workers: how many at most; no more than photos wait.
        on_ended: called with every attempt that ended here.
    """

    def __init__(
        self, ledger: Ledger, job: Job, workers: int, on_ended: Callable[[Ended], None] = lambda ended: None
    ) -> None:
        self._ledger, self._job, self._count, self._on_ended = ledger, job, workers, on_ended
        self._roster = job.roster(ledger)
        self._crew: list[Supervised] = []
        self._failed_starts = 0
        self._stopping = False
        self._broken: str | None = None

    def run(self) -> None:
        """Work until nothing is left, also for other runs on this ledger.

        Raises:
            BatchError: workers cannot write, or do not start.
            KeyboardInterrupt: as it came; photos that were begun are finished.
        """
        try:
            self._bury_the_dead()
            if self._ledger.unfinished():
                wanted = max(1, len(self._ledger.waiting(self._count)))
                self._crew += [Supervised(self._job, self._ledger) for _ in range(wanted)]
            self._watch()
        except KeyboardInterrupt:
            self._stop()
            self._watch()
            raise
        finally:
            self._end_all()
        if self._broken is not None:
            hint = "Finished photos are kept; the same command does the others."
            raise BatchError("The batch cannot go on", got=self._broken.removesuffix("."), hint=hint)

    def _bury_the_dead(self) -> None:
        for ended in self._roster.bury(but={worker.number for worker in self._crew}):
            self._tell(ended)

    def _watch(self) -> None:
        looked = looked_for_dead = time.monotonic()
        while self._crew:
            waited = [each for worker in self._crew for each in (worker.connection, worker.process.sentinel)]
            told = wait(waited, LOOK)
            for worker in list(self._crew):
                if worker.process.sentinel in told:
                    self._replace(worker)
                elif worker.connection in told:
                    self._hear(worker)
            now = time.monotonic()
            if now - looked > LOOK:
                for worker in self._crew:
                    worker.judge()
                looked = now
            if now - looked_for_dead > LOOK_FOR_DEAD:
                self._bury_the_dead()
                looked_for_dead = now

    def _hear(self, worker: Supervised) -> None:
        """Read what a worker has told."""
        while (told := _received(worker.connection)) is not None:
            kind, content = told
            if kind == READY:
                worker.is_ready, self._failed_starts = True, 0
            elif kind == BEGAN:
                worker.entry, worker.since = content, time.monotonic()
            elif kind == ENDED:
                worker.entry = None
                self._tell(content)
            elif kind == BROKE:
                worker.is_excused = True
                self._break(str(content))

    def _replace(self, worker: Supervised) -> None:
        """A worker is no more: what it had comes back, and another one takes its place if there is work."""
        worker.process.join()
        self._hear(worker)  # what it told last
        self._dismiss(worker.number, worker.outcome())
        self._crew.remove(worker)
        worker.connection.close()
        ended_itself = worker.process.exitcode == 0
        if not worker.is_ready and not ended_itself:
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                self._break(f"{STARTS} workers in a row ended while they loaded the bundle")
        if not ended_itself and not self._stopping and self._ledger.unfinished():
            self._crew.append(Supervised(self._job, self._ledger))

    def _dismiss(self, number: int, outcome: Outcome | None) -> None:
        for ended in self._roster.dismiss(number, outcome):
            self._tell(ended)

    def _tell(self, ended: Ended) -> None:
        outcome = ended.outcome
        what = "done" if outcome.error is None else f"{outcome.error}: {outcome.message}"
        LOGGER.info("%s: %s (%.2f s)", ended.entry.photo, what, outcome.seconds)
        self._on_ended(ended)

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._stop()

    def _stop(self) -> None:
        """Let workers end after the photo that they are at."""
        self._stopping = True
        for worker in self._crew:
            try:
                worker.connection.send(None)
            except OSError:  # it is dead already
                continue

    def _end_all(self) -> None:
        """Kill what still works, after a second Ctrl-C or where the ledger's disk is full; no photo pays for that."""
        for worker in self._crew:
            worker.process.kill()
        for worker in self._crew:
            worker.process.join()
        if self._crew:
            self._ledger.fold()  # makes the room that is needed to write this down
        while self._crew:
            self._dismiss(self._crew.pop().number, None)


def _received(connection: Connection) -> tuple[str, Any] | None:
    """What is there to read; None if nothing is, or ever will be."""
    try:
        return connection.recv() if connection.poll() else None
    except (EOFError, OSError):
        return None
