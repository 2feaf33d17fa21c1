"""What readers make of the tests' hostile files: tried, refused, the longest time and the most memory of each kind."""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from measure import describe_machine

from hyperstyle_deploy.demo import CHECKPOINT
from hyperstyle_deploy.errors import HyperStyleDeployError
from hyperstyle_deploy.export.checkpoint import read_checkpoint
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.tests.hostile_bundles import hostile_bundles, hostile_constants
from hyperstyle_deploy.tests.hostile_directions import hostile_directions
from hyperstyle_deploy.tests.hostile_inversions import hostile_inversions
from hyperstyle_deploy.tests.small_bundle import make_small_bundle
from hyperstyle_deploy.tests.unit.export.test_checkpoint import repacked, small_pickles_that_cost_much

#: A case's name, and what reads it in a folder of its own: prepared first, then read.
Case = tuple[str, Callable[[Path], Callable[[], object]]]


@dataclass(frozen=True)
class Figures:
    """Of one kind: how many, how many were one typed error, seconds and MB of the worst ones, and which they were."""

    kind: str
    tried: int
    refused: int
    seconds: float
    slowest: str
    megabytes: float
    largest: str


def main() -> None:
    """Read every file in a process of its own, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [measured(kind, cases) for kind, cases in KINDS.items()]
    print("| kind | tried | refused | longest, s | which | most memory, MB | which |\n|---|---|---|---|---|---|---|")
    for row in found:
        values = (
            row.kind,
            row.tried,
            row.refused,
            f"{row.seconds:.2f}",
            row.slowest,
            f"{row.megabytes:.1f}",
            row.largest,
        )
        print("| " + " | ".join(map(str, values)) + " |")
    if arguments.json:
        document = {"machine": describe_machine(1), "kinds": list(map(asdict, found))}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def measured(kind: str, cases: Callable[[], Iterator[Case]]) -> Figures:
    """Figures of all cases of a kind."""
    refused, results = 0, []
    for name, prepare in cases():
        with tempfile.TemporaryDirectory() as folder:
            was_refused, seconds, kilobytes = in_child(prepare(Path(folder)))
        refused += was_refused
        results.append((seconds, kilobytes / 1e3, name.encode("unicode_escape").decode()[:40].replace("|", "/")))
    slowest = max(results)
    largest = max(results, key=lambda result: result[1])
    return Figures(kind, len(results), refused, slowest[0], slowest[2], largest[1], largest[2])


def in_child(read: Callable[[], object]) -> tuple[bool, float, int]:
    """Whether a fork's reading ends in the package's own error, its seconds, and the KiB that it took more."""
    receive, send = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        before, started, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, perf_counter(), False
        try:
            read()
        except HyperStyleDeployError:
            refused = True
        finally:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            send.send((refused, perf_counter() - started, peak - before))
            os._exit(0)
    send.close()
    answer = receive.recv()
    os.waitpid(child, 0)
    return answer


def bundles() -> Iterator[Case]:
    """Bundles that are wrong in their manifest, paths, files or graphs."""

    def prepare(spoil: Callable[..., object], folder: Path) -> Callable[[], object]:
        bundle = make_small_bundle(folder / "bundle")
        spoil(bundle)
        return lambda: Bundle.open(bundle.path)

    for case in hostile_bundles():
        yield case.name, lambda folder, case=case: prepare(case.spoil, folder)


def constants() -> Iterator[Case]:
    """Files of constants in a bundle that is otherwise sound."""

    def prepare(content: bytes, folder: Path) -> Callable[[], object]:
        bundle = make_small_bundle(folder / "bundle")
        document = bundle.document()
        document["files"]["generator.safetensors"] = bundle.add("generator.safetensors", content)
        bundle.write(document)
        return lambda: Bundle.open(bundle.path).constants()

    for name, content in hostile_constants():
        yield name, lambda folder, content=content: prepare(content, folder)


def one_file(content: bytes, read: Callable[[Path], object], folder: Path) -> Callable[[], object]:
    """A file of its own, to be read."""
    (folder / "file").write_bytes(content)
    return lambda: read(folder / "file")


def inversions() -> Iterator[Case]:
    """Inversion files."""
    for case in hostile_inversions():
        yield case.name, lambda folder, case=case: one_file(case.content, Inversion.load, folder)


def directions() -> Iterator[Case]:
    """Direction files."""
    with tempfile.TemporaryDirectory() as folder:
        cases = list(hostile_directions(Path(folder)))
    for case in cases:
        yield case.name, lambda folder, case=case: one_file(case.content, Direction.load, folder)


def checkpoints() -> Iterator[Case]:
    """Small pickles that cost other readers gigabytes or minutes, in an archive as PyTorch writes it."""
    valid = CHECKPOINT.read_bytes()
    for case in small_pickles_that_cost_much():
        content = repacked(valid, zipfile.ZIP_STORED, data_pkl=case.values[0])
        yield str(case.id), lambda folder, content=content: one_file(content, read_checkpoint, folder)


KINDS = {
    "bundles": bundles,
    "constants": constants,
    "inversions": inversions,
    "directions": directions,
    "pickles that cost much": checkpoints,
}

if __name__ == "__main__":
    main()
