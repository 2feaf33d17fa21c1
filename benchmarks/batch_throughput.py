"""Photos a second of `batch` against the sum of its workers' own loops: what ledger, watchdogs and claims cost.

Run: python benchmarks/batch_throughput.py BUNDLE [--workers 2] [--photos 100] [--rounds 5] [--steps N]

A worker's own loop reads, inverts and writes the same photos in a process of its own, all workers' loops at the same
time, without a ledger. Loading is outside the clock on both sides, and so is each worker's first photo. On a machine
with others on it the processor time of a photo says more than the clock: that of all processes together, who watches
included.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
import psutil
from PIL import Image

from hyperstyle_deploy.runtime.backends import AUTO, resolve
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.serving.bulk.ledger import Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import Entry, Recipe, identity_of
from hyperstyle_deploy.runtime.serving.bulk.supervisor import Supervisor
from hyperstyle_deploy.runtime.serving.bulk.worker import Job, open_inverter

Side: TypeAlias = "Callable[[Job, int, list[Path]], Measured]"


def write_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 512 pixels, smooth as faces are."""
    paths = []
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC).save(paths[-1], quality=92)
    return paths


@dataclass(frozen=True)
class Measured:
    """Photos a second, and seconds of processors a photo."""

    rate: float
    cpu: float


def loop(job: Job, photos: list[Path], connection: Connection) -> None:
    """A worker's own loop."""
    with Ledger(job.ledger) as ledger:
        invert = open_inverter(job, ledger.recipe, ledger.folder)
        paths = [os.fsencode(photo) for photo in photos]
        first, *others = [Entry(0, path, identity_of(path)) for path in paths]
        invert(first)
        connection.send(None)
        connection.recv()
        start, cpu = time.perf_counter(), time.process_time()
        for entry in others:
            invert(entry)
        spent = time.perf_counter() - start, time.process_time() - cpu
        connection.send(Measured(len(others) / spent[0], spent[1] / len(others)))


def loops(job: Job, workers: int, photos: list[Path]) -> Measured:
    """The sum of the workers' own photos a second."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(workers)]
    crew = [
        context.Process(target=loop, args=(job, photos[number::workers], theirs))
        for number, (_, theirs) in enumerate(pipes)
    ]
    for process in crew:
        process.start()
    for ours, _ in pipes:
        ours.recv()
    for ours, _ in pipes:
        ours.send(None)
    found = [ours.recv() for ours, _ in pipes]
    for process in crew:
        process.join()
    return Measured(sum(each.rate for each in found), sum(each.cpu for each in found) / workers)


def batch(job: Job, workers: int, photos: list[Path]) -> Measured:
    """The whole batch, after as many photos as there are workers."""
    left, ends = len(photos), []

    def ended(*_: object) -> None:
        nonlocal left
        left -= 1
        if left in (0, len(photos) - workers):
            ends.append((time.perf_counter(), cpu_seconds()))

    with Ledger(job.ledger) as ledger:
        sum(ledger.add(map(os.fsencode, photos)))
        Supervisor(ledger, job, workers, ended).run()
        assert [each.photos for each in ledger.counts()] == [len(photos)]
    spent, cpu = (last - first for first, last in zip(*ends, strict=True))
    timed = len(photos) - workers
    return Measured(timed / spent, cpu / timed)


def cpu_seconds() -> float:
    """Of this process and those that it started and that are there, so far."""
    crew = [psutil.Process(), *psutil.Process().children()]
    return sum(times.user + times.system for times in (process.cpu_times() for process in crew))


def measure(arguments: argparse.Namespace, folder: Path, side: Side) -> Measured:
    """One side, with a ledger and results of its own."""
    bundle = Bundle.open(arguments.bundle)
    steps = bundle.method.checked_steps(arguments.steps)
    backend = resolve(arguments.backend)
    kinds = ("inversion", "image")
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    recipe = Recipe(bundle.manifest.model, backend, None, threads, steps, None, kinds, 128, 0, ".")
    with tempfile.TemporaryDirectory(dir=folder) as results:
        path = Path(results) / "ledger.sqlite"
        Ledger.start(path, recipe).database.close()
        job = Job(path, arguments.bundle, {"backend": backend, "threads": threads})
        return side(job, arguments.workers, arguments.found)


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--backend", default=AUTO)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[Measured]] = {"loops": [], "batch": []}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        arguments.found = write_photos(photos, arguments.photos)
        for number in range(arguments.rounds):
            sides = [("loops", loops), ("batch", batch)]
            for name, side in sides if number % 2 == 0 else reversed(sides):
                found[name].append(measure(arguments, Path(folder), side))
    print(f"{arguments.photos} photos, {arguments.workers} workers, {arguments.rounds} rounds in turn:")
    for name, side in found.items():
        rates, cpu = spread([each.rate for each in side]), spread([each.cpu for each in side])
        print(f"  {name:6s} {rates} photos/s, {cpu} s of CPU a photo")
    pairs = list(zip(found["batch"], found["loops"], strict=True))
    print(f"  photos/s, batch / loops: {spread([batch.rate / loops.rate for batch, loops in pairs])}; goal: 0.95")
    print(f"  CPU, loops / batch:      {spread([loops.cpu / batch.cpu for batch, loops in pairs])}")
    print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
