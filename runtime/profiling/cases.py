"""What is measured: a bundle in a backend, and how much work at once. A sweep is the product of its lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...errors import ArrayError
from ..backends import BACKENDS


@dataclass(frozen=True)
class Setup:
    """What is loaded once: a bundle in a backend. ``threads`` and ``precision_hint`` are a CPU backend's."""

    bundle: Path
    backend: str
    threads: int | None = None
    precision_hint: str | None = None
    device: int | None = None
    trust_engines: bool = False

    @property
    def name(self) -> str:
        """As tables name it."""
        parts = [self.bundle.name, self.backend]
        parts += [f"{self.threads} threads"] if self.threads else []
        parts += [self.precision_hint] if self.precision_hint else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Case:
    """``streams`` inversions at once, each of ``batch`` photos in ``steps`` refinement steps."""

    setup: Setup
    batch: int = 1
    steps: int = 5
    streams: int = 1

    @property
    def name(self) -> str:
        """As tables name it."""
        streams = f", {self.streams} streams" if self.streams > 1 else ""
        return f"{self.setup.name}, batch {self.batch}, {self.steps} steps{streams}"


def sweep(
    bundles: Sequence[Path],
    backends: Sequence[str],
    threads: Sequence[int | None] = (None,),
    hints: Sequence[str | None] = (None,),
    batches: Sequence[int] = (1,),
    steps: Sequence[int] = (5,),
    streams: Sequence[int] = (1,),
    device: int | None = None,
    trust_engines: bool = False,
) -> list[Case]:
    """Every combination, the last list fastest. Threads are a CPU backend's alone, and hints OpenVINO's.

    Raises:
        ArrayError: two bundles of one name, which a report could not tell apart.
    """
    if len({bundle.name for bundle in bundles}) < len(bundles):
        raise ArrayError("Two bundles have one name", got=", ".join(map(str, bundles)), expected="names that differ")
    setups = dict.fromkeys(
        Setup(
            bundle,
            backend,
            None if BACKENDS[backend].gpu else count,
            hint if backend == "openvino" else None,
            device if BACKENDS[backend].gpu else None,
            trust_engines and BACKENDS[backend].gpu,
        )
        for bundle, backend, count, hint in product(bundles, backends, threads, hints)
    )
    return [Case(*values) for values in product(setups, batches, steps, streams)]
