"""Progress on standard error: named pieces, an engine builder's phases, photos going through their steps."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ...errors import printable
from .text import ERR, LOGGER

Piece = TypeVar("Piece")


def _counting() -> Progress:
    """Bars of pieces of work: what is being done, how many of how many are, for how long."""
    description = TextColumn("{task.description}", markup=False)
    return Progress(SpinnerColumn(), description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=ERR)


@contextmanager
def stages(title: str) -> Iterator[Callable[[str, int | None], None]]:
    """Show work that goes through named pieces: what is being done, what each took, how long in all.

    The result is called with a piece's name, and how many there are, None as long as that is not known.
    """
    title = printable(title)
    with _counting() as progress:
        task = progress.add_task(title, total=None)
        running: list[tuple[str, float]] = []

        def finish() -> None:
            name, started = running.pop()
            seconds = time.monotonic() - started
            progress.console.print(f"  {name:38s} {seconds:6.1f} s")
            LOGGER.info("%s: %s (%.1f s)", title, name, seconds)
            progress.advance(task)

        def report(name: str, count: int | None) -> None:
            if running:
                finish()
            running.append((name, time.monotonic()))
            progress.update(task, description=f"{title}: {name}", total=count)

        yield report
        if running:
            finish()


class BuildProgress:
    """Stages of a build, and below the running one the builder's own phases, indented as they nest."""

    #: Phases below this depth last for moments: they would only flicker.
    DEPTH = 3

    def __init__(self, progress: Progress, title: str, stages: int | None) -> None:
        self._progress, self._title = progress, title
        self._all = progress.add_task(title, total=stages)
        self._phases: dict[str, tuple[TaskID | None, int]] = {}
        self._started = time.monotonic()

    def stage_started(self, stage: str) -> None:
        """Show that a stage has begun."""
        self._started = time.monotonic()
        self._progress.update(self._all, description=f"{self._title}: {stage}")

    def stage_finished(self, stage: str, note: str) -> None:
        """Leave a line that says what became of a stage."""
        seconds = time.monotonic() - self._started
        self._progress.console.print(f"  {stage:38s} {seconds:6.1f} s  {note}")
        LOGGER.info("%s: %s (%.1f s)", stage, note, seconds)
        self._progress.advance(self._all)

    def phase_started(self, phase: str, parent: str | None, steps: int) -> None:
        """Show a phase below the one that it is part of."""
        depth = self._phases[parent][1] + 1 if parent in self._phases else 1
        task = self._progress.add_task(f"{'  ' * depth}{phase}", total=steps) if depth <= self.DEPTH else None
        self._phases[phase] = task, depth

    def step_done(self, phase: str, step: int) -> None:
        """Move a phase's bar; ``step`` counts from 0."""
        task, _ = self._phases.get(phase, (None, 0))
        if task is not None:
            self._progress.update(task, completed=step + 1)

    def phase_finished(self, phase: str) -> None:
        """Take a phase away, whether or not all its steps were told of."""
        task, _ = self._phases.pop(phase, (None, 0))
        if task is not None:
            self._progress.remove_task(task)


@contextmanager
def build_progress(title: str, stages: int | None) -> Iterator[BuildProgress]:
    """Show a build of ``stages`` engines, None for a number that is not known yet.

    The library calls the result from its own threads.
    """
    with _counting() as progress:
        yield BuildProgress(progress, title, stages)


@contextmanager
def photo_progress(photos: int, steps: int, title: str) -> Iterator[Callable[[int], None]]:
    """Show photos going through their steps, with the time left; call the result with the steps that were taken."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[done]:.1f}/{task.fields[all]} photos"),
    )
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=ERR) as progress:
        task = progress.add_task(f"Inverting ({title})", total=photos * steps, done=0.0, all=photos)

        def advance(count: int) -> None:
            progress.advance(task, count)
            progress.update(task, done=progress.tasks[0].completed / steps)

        yield advance


@contextmanager
def count_progress(title: str, count: int, what: str) -> Iterator[Callable[[], None]]:
    """Show ``count`` equal pieces of work with the time left; call the result for each."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(what))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=ERR) as progress:
        task = progress.add_task(title, total=count)
        yield lambda: progress.advance(task)


def counted(pieces: Iterable[Piece], advance: Callable[[], None]) -> Iterator[Piece]:
    """Pieces of work as they come; ``advance`` is called behind each."""
    for piece in pieces:
        yield piece
        advance()


class _Rate(ProgressColumn):
    """Pieces a second, of late."""

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        return Text(f"{speed:.{0 if speed >= 100 else 2}f}/s")


@contextmanager
def amount_progress(title: str, done: int = 0, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show ``total`` pieces of work, of which some were done before, with their rate; call the result with how many."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), _Rate())
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=ERR) as progress:
        task = progress.add_task(title, completed=done, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def calibration_progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each kind of work; call the result with its name, how much is done, and how much there is."""
    with _counting() as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(f"{title}: {what}", total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


@contextmanager
def profile_progress() -> Iterator[Callable[[str, float], None]]:
    """Show what is being measured; call the result with that and the share of the whole that is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task("Profiling", total=1.0)
        yield lambda what, share: progress.update(task, description=f"Profiling: {what}", completed=share)
