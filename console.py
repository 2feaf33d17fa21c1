"""What commands print: progress on standard error, tables on standard output."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from .export.engines.builder import Built
    from .export.inspection import Description
    from .export.verification import StepDifference
    from .runtime.batch import Record
    from .runtime.engines.overview import EngineState
    from .runtime.manifest import Manifest
    from .runtime.session import Session

# No markup: names of files and options are the users' own text, square brackets and all.
OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False)


@contextmanager
def stages(title: str, count: int) -> Iterator[Callable[[str], None]]:
    """Show work that goes through ``count`` named pieces: what is being done, what each took, how long in all."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task(title, total=count)
        running: list[tuple[str, float]] = []

        def finish() -> None:
            name, started = running.pop()
            progress.console.print(f"  {name:38s} {time.monotonic() - started:6.1f} s")
            progress.advance(task)

        def report(name: str) -> None:
            if running:
                finish()
            running.append((name, time.monotonic()))
            progress.update(task, description=f"{title}: {name}")

        yield report
        if running:
            finish()


class BuildProgress:
    """Stages of a build, and below the running one the builder's own phases, indented as they nest."""

    #: Phases below this depth last for moments: they would only flicker.
    DEPTH = 3

    def __init__(self, progress: Progress, title: str, stages: int) -> None:
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
        self._progress.console.print(f"  {stage:38s} {time.monotonic() - self._started:6.1f} s  {note}")
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
def build_progress(title: str, stages: int) -> Iterator[BuildProgress]:
    """Show a build of ``stages`` engines; the library calls the result from its own threads."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=ERR) as progress:
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


def show_checkpoint(description: "Description") -> None:
    """Print what `inspect` found in a checkpoint."""
    facts = {
        "method": description.method,
        "domain": description.domain,
        "size": description.size,
        "hypernetwork": description.hypernetwork,
        "tuned layers": ", ".join(map(str, description.tuned_layers)) or None,
        "latent_avg": description.latent_avg,
        "sha256": description.sha256,
    }
    OUT.print(f"{description.file}  {_size(description.bytes)}")
    for name, value in facts.items():
        if value is not None:
            OUT.print(f"  {name:14s} {value}")
    table = Table("part", *(_right(name) for name in ("tensors", "parameters", "size")))
    for part in description.parts:
        _add_row(table, part.name, str(part.tensors), f"{part.parameters:,}", _size(part.bytes))
    OUT.print(table)
    OUT.print("options: " + ", ".join(f"{name}={value}" for name, value in description.options.items()))
    for need in description.needs:
        OUT.print(f"needs: {need}")
    if description.export:
        OUT.print(f"export with: {description.export}")


def show_bundle(path: Path, manifest: "Manifest") -> None:
    """Print what a bundle holds."""
    image = manifest.image
    OUT.print(f"{path}  {_size(sum(file.bytes for file in manifest.files.values()))}")
    OUT.print(
        f"  {manifest.method}, {manifest.domain}: {image.input_width}x{image.input_height} in, "
        f"{image.size}x{image.height} out, {manifest.arithmetic}, {len(manifest.tuned)} tuned layers, "
        f"{manifest.default_steps} steps by default"
    )
    origin = manifest.provenance.get("checkpoint", {})
    OUT.print(f"  from {origin.get('file')} (sha256 {str(origin.get('sha256'))[:12]})")
    table = Table("file", _right("size"), "sha256")
    for name, file in manifest.files.items():
        _add_row(table, name, _size(file.bytes), file.sha256[:12])
    OUT.print(table)


def show_engines(states: "Sequence[EngineState]") -> None:
    """Print the engines that a bundle has, and under them what is wrong with some."""
    if not states:
        return
    folded = [Column(name, overflow="fold") for name in ("with", "for")]
    table = Table("engine", *folded, "batch", _right("size"), "")
    for state in states:
        if state.engine is not None:
            recipe = state.engine.recipe
            batch = ":".join(map(str, recipe.batch)) if recipe.batch else ""
            verdict = "not usable" if state.problem else "ready"
            gpus = recipe.gpu or ",".join(map(str, recipe.compute_capabilities))
            library = f"{recipe.target} {recipe.library}"
            _add_row(table, recipe.stage, library, gpus, batch, _size(state.engine.bytes), verdict)
    if table.rows:
        OUT.print(table)
    for state in states:
        if state.problem:
            OUT.print(state.problem)


def show_built(folder: Path, built: "Sequence[Built]") -> None:
    """Print what became of each engine, and the builder's warnings."""
    table = Table("engine", "", _right("size"), _right("seconds"), "file")
    for one in built:
        engine = one.engine
        verdict, seconds = ("reused", "") if one.reused else ("built", f"{engine.seconds:.1f}")
        _add_row(table, engine.recipe.stage, verdict, _size(engine.bytes), seconds, engine.file)
    OUT.print(table)
    for one in built:
        for warning in one.warnings:
            OUT.print(f"warning ({one.engine.recipe.stage}): {warning}")
    OUT.print(f"Engines are in {folder}")


def show_records(folder: Path, records: "Sequence[Record]") -> None:
    """Print what became of each photo, with the paper's L2 before refinement and after every step."""
    table = Table("photo", "", _right("seconds"), "L2 before refinement and after each step")
    for record in records:
        l2 = " ".join(f"{value:.4f}" for value in record.l2)
        _add_row(
            table,
            record.photo.name,
            record.status,
            f"{record.seconds:.1f}" if record.seconds else "",
            record.error or l2,
        )
    OUT.print(table)
    OUT.print(f"Results are in {folder}")


def invert_summary(session: "Session", steps: int, records: "Sequence[Record]") -> dict[str, Any]:
    """The records as JSON values."""
    return {
        "backend": session.backend,
        "model": session.manifest.model,
        "steps": steps,
        "photos": [
            {
                "photo": str(record.photo),
                "status": record.status,
                "seconds": round(record.seconds, 3),
                "l2": list(record.l2),
                "files": [str(file) for file in record.files],
                "error": record.error,
            }
            for record in records
        ],
    }


def show_loaded(path: Path, session: "Session", as_json: bool) -> None:
    """Say that a bundle's files are whole and that the backend loads them."""
    count = len(session.manifest.files)
    if as_json:
        OUT.print(json.dumps({"bundle": str(path), "backend": session.backend, "files": count, "within": True}))
    else:
        OUT.print(f"{path}: {count} files have their checksums, and {session.backend} loads them.")


def show_differences(session: "Session", differences: "Sequence[StepDifference]") -> None:
    """Print a bundle's largest differences from PyTorch, step by step."""
    table = Table(
        "step",
        *(_right(name) for name in ("codes", "image", "offsets", "PSNR")),
        "",
        title=f"{session.backend}, {session.manifest.arithmetic}, against PyTorch",
    )
    for step in differences:
        offsets = "" if step.offsets is None else f"{step.offsets:.1e}"
        verdict = "within tolerance" if step.within else "OUT OF TOLERANCE"
        cells = (f"{step.codes:.1e}", f"{step.image:.1e}", offsets, f"{step.psnr:.1f} dB")
        _add_row(table, str(step.index), *cells, verdict)
    OUT.print(table)


def verify_summary(session: "Session", differences: "Sequence[StepDifference]") -> dict[str, Any]:
    """The differences as JSON values."""
    steps = [
        {
            "step": d.index,
            "codes": d.codes,
            "image": d.image,
            "offsets": d.offsets,
            "psnr": d.psnr if math.isfinite(d.psnr) else None,  # equal images; JSON has no infinity
            "within": d.within,
        }
        for d in differences
    ]
    return {"backend": session.backend, "steps": steps, "within": all(d.within for d in differences)}


def _right(name: str) -> Column:
    return Column(name, justify="right")


def _add_row(table: Table, *cells: str) -> None:
    """Tables read markup in plain strings whatever the console says."""
    table.add_row(*(Text(cell) for cell in cells))


def _size(count: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
