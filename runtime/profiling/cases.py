"""What is measured: a bundle in a backend, and how much work at once. A sweep is the product of its lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...errors import ArrayError
from ..backends import BACKENDS
from ..bundle.reader import read_manifest
from ..methods import method_of


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
    steps: int = 0
    streams: int = 1

    @property
    def name(self) -> str:
        """As tables name it."""
        streams = f", {self.streams} streams" if self.streams > 1 else ""
        return f"{self.setup.name}, batch {self.batch}, {self.steps} steps{streams}"


def steps_of(bundles: Sequence[Path], asked: Sequence[int] | None) -> dict[Path, tuple[int, ...]]:
    """The refinement steps of each bundle's cases: those that were asked for, 0 where its method takes none.

    Args:
        bundles: their folders.
        asked: 0 to ``MAX_STEPS`` each; None for each bundle's default.

    Raises:
        ArrayError: two bundles of one name, which a report could not tell apart; or none of the methods takes steps.
        BundleError: a folder is no bundle.
    """
    if len({bundle.name for bundle in bundles}) < len(bundles):
        raise ArrayError("Two bundles have one name", got=", ".join(map(str, bundles)), expected="names that differ")
    methods = {bundle: method_of(read_manifest(bundle)) for bundle in bundles}
    if asked is None:
        return {bundle: (method.manifest.default_steps,) for bundle, method in methods.items()}
    if any(asked) and not any(method.refines for method in methods.values()):
        names = " and ".join(sorted({method.manifest.method.name for method in methods.values()}))
        raise ArrayError(f"No refinement steps are taken by {names}", got=max(asked), expected=0)
    return {bundle: tuple(asked) if method.refines else (0,) for bundle, method in methods.items()}


def sweep(
    bundles: Mapping[Path, Sequence[int]],
    backends: Sequence[str],
    threads: Sequence[int | None] = (None,),
    hints: Sequence[str | None] = (None,),
    batches: Sequence[int] = (1,),
    streams: Sequence[int] = (1,),
    device: int | None = None,
    trust_engines: bool = False,
) -> list[Case]:
    """Every combination; of each bundle its refinement steps, as ``steps_of`` gives them.

    Threads are a CPU backend's alone, and hints OpenVINO's.
    """
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
    return [Case(setup, *values) for setup in setups for values in product(batches, bundles[setup.bundle], streams)]
