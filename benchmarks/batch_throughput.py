"""Photos a second of `batch` against the sum of its workers' own loops: what ledger, watchdogs and claims cost.

Run: python benchmarks/batch_throughput.py BUNDLE [--workers 2] [--photos 100] [--rounds 5] [--steps N]

A worker's own loop reads, inverts and writes the same photos in a process of its own, all workers' loops at the same
time, without a ledger. Loading is outside the clock on both sides, and so is each worker's first photo.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from hyperstyle_deploy.runtime.backends import AUTO, resolve
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.serving.bulk.ledger import Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import Entry, Recipe, identity_of
from hyperstyle_deploy.runtime.serving.bulk.supervisor import Supervisor
from hyperstyle_deploy.runtime.serving.bulk.worker import Job, open_inverter


def write_photos(folder: Path, count: int) -> list[Path]:
    """Photos of 512 pixels, smooth as faces are."""
    paths = []
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC).save(paths[-1], quality=92)
    return paths


def loop(job: Job, photos: list[Path], connection: Connection) -> None:
    """A worker's own loop: photos a second."""
    with Ledger(job.ledger) as ledger:
        invert = open_inverter(job, ledger)
        paths = [os.fsencode(photo) for photo in photos]
        first, *others = [Entry(0, path, identity_of(path)) for path in paths]
        invert(first)
        connection.send(None)
        connection.recv()
        start = time.perf_counter()
        for entry in others:
            invert(entry)
        connection.send(len(others) / (time.perf_counter() - start))


def loops(job: Job, workers: int, photos: list[Path]) -> float:
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
    rates = [ours.recv() for ours, _ in pipes]
    for process in crew:
        process.join()
    return sum(rates)


def batch(job: Job, workers: int, photos: list[Path]) -> float:
    """Photos a second of the whole batch, after each worker's first."""
    ended: list[float] = []
    with Ledger(job.ledger) as ledger:
        sum(ledger.add(map(os.fsencode, photos)))
        Supervisor(ledger, job, workers, lambda *_: ended.append(time.perf_counter())).run()
        assert [each.photos for each in ledger.counts()] == [len(photos)]
    return (len(ended) - workers) / (ended[-1] - ended[workers - 1])


def measure(arguments: argparse.Namespace, folder: Path, side: Callable[[Job, int, list[Path]], float]) -> float:
    """One side, with a ledger and results of its own."""
    bundle = Bundle.open(arguments.bundle)
    steps = bundle.method.checked_steps(arguments.steps)
    backend = resolve(arguments.backend)
    kinds = ("inversion", "image")
    recipe = Recipe(bundle.manifest.model, backend, None, steps, None, kinds, 128, 0, ".")
    threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    with tempfile.TemporaryDirectory(dir=folder) as results:
        path = Path(results) / "ledger.sqlite"
        Ledger.start(path, recipe).database.close()
        job = Job(path, arguments.bundle, {"backend": backend, "threads": threads})
        return side(job, arguments.workers, arguments.found)


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
    rates: dict[str, list[float]] = {"loops": [], "batch": []}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        arguments.found = write_photos(photos, arguments.photos)
        for number in range(arguments.rounds):
            sides = [("loops", loops), ("batch", batch)]
            for name, side in sides if number % 2 == 0 else reversed(sides):
                rates[name].append(measure(arguments, Path(folder), side))
    ratios = [batch / loops for batch, loops in zip(rates["batch"], rates["loops"], strict=True)]
    print(f"{arguments.photos} photos, {arguments.workers} workers, {arguments.rounds} rounds in turn:")
    for name, found in rates.items():
        print(f"  {name:6s} {median(found):8.2f} photos/s ({min(found):.2f} to {max(found):.2f})")
    print(f"  batch / loops {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}); goal: 0.95")
    print(f"  load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
