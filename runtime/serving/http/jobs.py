"""Jobs: inversions that go on without a connection, and are asked for by their number."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from .refusals import RefusedError
from .settings import Settings


@dataclass(eq=False)
class Job:
    """One of them: the events so far, and what wakes those who wait for the next."""

    name: str
    bundle: str
    seen: list[bytes] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    ended: float | None = None
    cancelled: bool = False

    @property
    def state(self) -> str:
        """ "running" (or waiting to), "done", "failed" or "cancelled"."""
        if self.cancelled:
            return "cancelled"
        if self.ended is None:
            return "running"
        return "done" if self.seen and self.seen[-1].startswith(b"event: done") else "failed"

    def document(self) -> dict[str, Any]:
        """The job in short; ``steps`` are those that were taken, the start not counted."""
        taken = sum(each.startswith(b"event: step") for each in self.seen)
        return {"job": self.name, "bundle": self.bundle, "state": self.state, "steps": max(0, taken - 1)}

    async def events(self) -> AsyncIterator[bytes]:
        """All its events, from the first to the last, as they come."""
        told = 0
        while True:
            grown = self.grown
            while told < len(self.seen):
                yield self.seen[told]
                told += 1
            if self.ended is not None:
                return
            await grown.wait()


class Jobs:
    """The jobs of a service: a bounded number, and finished ones for a while."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: dict[str, Job] = {}

    def check_room(self) -> None:
        """See that there may be one more.

        Raises:
            RefusedError: there are as many as may be.
        """
        now, kept = time.monotonic(), self._settings.job_seconds
        self._jobs = {n: job for n, job in self._jobs.items() if job.ended is None or now - job.ended < kept}
        ended = [name for name, job in self._jobs.items() if job.ended is not None]
        for name in ended[: max(0, len(self._jobs) - self._settings.jobs + 1)]:
            del self._jobs[name]
        if len(self._jobs) >= self._settings.jobs:
            raise RefusedError(429, "The service is busy", got=f"{len(self._jobs)} jobs")

    def start(self, bundle: str, events: AsyncIterator[bytes]) -> Job:
        """A job that is made of its events."""
        job = Job(secrets.token_urlsafe(16), bundle)
        self._jobs[job.name] = job
        job.task = asyncio.create_task(_collect(job, events))
        return job

    def find(self, name: str) -> Job:
        """The job of a name that was given out.

        Raises:
            RefusedError: there is none, or it was forgotten.
        """
        if name not in self._jobs:
            raise RefusedError(404, "There is no such job", expected=f"one that ended less than {self._kept} ago")
        return self._jobs[name]

    async def cancel(self, name: str) -> Job:
        """End a job, or leave it as it is if it has ended."""
        job = self.find(name)
        if job.task is not None and job.ended is None:
            job.cancelled = True
            job.task.cancel()
            await asyncio.wait({job.task})
        return job

    @property
    def _kept(self) -> str:
        return f"{self._settings.job_seconds:g} s"


async def _collect(job: Job, events: AsyncIterator[bytes]) -> None:
    try:
        async for each in events:
            if each.startswith(b":"):  # a sign of life, for connections
                continue
            job.seen.append(each)
            _wake(job)
    finally:
        job.ended = time.monotonic()
        job.task = None  # a cancelled one keeps its frames, with the photo and its session
        _wake(job)


def _wake(job: Job) -> None:
    waiting, job.grown = job.grown, asyncio.Event()
    waiting.set()
