"""Verify a bundle: photos through the loop in every backend, against a reference; faults are traced to their stage."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ....errors import ArrayError, BackendError, BundleError
from ...backends import BACKENDS, Options, open_backend
from ...backends.base import HostArray
from ...bundle.reader import Bundle
from ...methods.optimisation import Optimisation
from ...session import Session
from ..tolerance import tolerance
from .bisect import Bisection, bisect
from .plain_backend import PlainBackend
from .stages import StageDifference, compare_stages, stage_runs
from .steps import Expected, StepComparison, compare_steps


@dataclass(frozen=True)
class Comparison:
    """One photo in one backend against a reference, step by step; ``precision`` is what the backend computes in.

    ``stages`` and ``bisection`` are there when a step is out of tolerance and the reference is a bundle.
    """

    photo: str
    backend: str
    precision: str
    reference: str
    steps: tuple[StepComparison, ...]
    stages: tuple[StageDifference, ...] = ()
    bisection: Bisection | None = None

    @property
    def within(self) -> bool:
        """Whether every step is."""
        return all(step.within for step in self.steps)

    @property
    def drift(self) -> float | None:
        """The mean error of the image after the last step, relative to that before refinement."""
        first, last = self.steps[0].image.mean, self.steps[-1].image.mean
        return last / first if first else None

    @property
    def faults(self) -> list[StageDifference]:
        """Stages that are out of tolerance on the reference's inputs, the first step of each."""
        found: dict[str, StageDifference] = {}
        for stage in self.stages:
            if not stage.difference.within:
                found.setdefault(stage.stage, stage)
        return list(found.values())


class Reference(Protocol):
    """What is right: the float32 graphs (``PlainBackend``), or the published networks in PyTorch."""

    @property
    def label(self) -> str:
        """What it is, for people."""

    def states(self, images: HostArray, steps: int) -> Iterator[Expected]:
        """The loop's states of one photo [1, C, H, W]."""


class Verifier:
    """A bundle in several backends, and the reference."""

    def __init__(self, bundle: Bundle, reference: Reference, backends: Mapping[str, Options]) -> None:
        self.bundle, self.reference = bundle, reference
        self.backends = {name: open_backend(name, bundle, options) for name, options in backends.items()}
        self.sessions = {name: Session(backend) for name, backend in self.backends.items()}

    def steps(self, asked: int | None) -> int:
        """Refinement steps to verify: those that are asked for, else the bundle's default.

        Of an optimisation there are none: Adam's first step moves every number by the rate, whichever way its gradient
        points, and so makes a step of what was rounding. Gradients were compared at export, OpenVINO's also when it
        loaded them.

        Raises:
            ArrayError: they are out of range, or the method takes none, or its steps cannot be compared.
        """
        if isinstance(self.bundle.method, Optimisation):
            if asked:
                raise ArrayError(
                    f"Steps of {self.bundle.method.name} cannot be held to tolerances",
                    got=asked,
                    expected=0,
                    hint="Its start is compared; its gradient was, when the bundle was exported.",
                )
            return 0
        return next(iter(self.sessions.values())).checked_steps(asked)

    def run(
        self,
        photos: Sequence[Path],
        steps: int,
        *,
        find_node: bool = False,
        look: bool = False,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Comparison]:
        """Compare photos one by one, each in every backend.

        Args:
            photos: files to invert.
            steps: refinement steps, as ``steps`` gives them.
            find_node: bisect the first stage that is out of tolerance.
            look: keep pictures of every step.
            on_step: called when the reference or a backend has taken a step.

        Raises:
            ImageError: a photo cannot be read.
            BackendError: a backend cannot run, or its nodes cannot be looked at.
            BundleError: nodes of a bundle that is not float32 were to be looked at.
        """
        if find_node:
            self._check_nodes()
        for photo in photos:
            session = next(iter(self.sessions.values()))
            images = session.prepare([photo])
            states = list(_told(self.reference.states(images, steps), on_step))
            for name in self.sessions:
                comparison = self._compare(name, photo, images, _told(states, on_step), steps, look)
                # A calibrated bundle promises a PSNR of images; no tolerance is known for its stages.
                traceable = self.bundle.manifest.quantization is None
                if not comparison.within and traceable and isinstance(self.reference, PlainBackend):
                    comparison = self._explained(self.reference, comparison, images, find_node)
                yield comparison

    def _compare(
        self, name: str, photo: Path, images: HostArray, states: Iterable[Expected], steps: int, look: bool
    ) -> Comparison:
        session = self.sessions[name]
        found = compare_steps(session, images, states, steps, gpu=BACKENDS[name].gpu, look=look)
        return Comparison(str(photo), name, session.precision, self.reference.label, tuple(found))

    def _check_nodes(self) -> None:
        """See, before anything runs, that nodes could be compared one by one."""
        if self.bundle.manifest.arithmetic != "float32":
            raise BundleError(
                f"The nodes of {self.bundle.path} cannot be compared with float32 ones",
                got=self.bundle.manifest.arithmetic,
                expected="a float32 bundle: in others tensors have units and names of their own",
                hint="Leave out --bisect: the stage is named without it.",
            )
        for name in self.backends:
            if BACKENDS[name].gpu:
                raise BackendError(
                    f"The nodes of {name} cannot be looked at",
                    expected="backends on the CPU",
                    hint="Leave out --bisect: the stage is named without it. Or bisect onnxruntime on the same bundle.",
                )

    def _explained(
        self, reference: PlainBackend, comparison: Comparison, images: HostArray, find_node: bool
    ) -> Comparison:
        """The comparison with its stages, and the node at fault if that is asked for."""
        tested, gpu = self.backends[comparison.backend], BACKENDS[comparison.backend].gpu
        arguments = reference, tested, self.bundle.constants(), images, len(comparison.steps) - 1, gpu
        comparison = replace(comparison, stages=tuple(compare_stages(*arguments)))
        computed = [fault.stage for fault in comparison.faults if fault.stage in self.bundle.manifest.graphs]
        if not find_node or not computed:
            return comparison
        allowed = tolerance(tested.precision, gpu)
        wrong = (run for run in stage_runs(*arguments) if not run.worst(allowed).difference.within)
        run = next(run for run in wrong if run.stage == computed[0])
        return replace(comparison, bisection=bisect(reference, tested, self.bundle.graph(run.stage), run))


def _told(states: Iterable[Expected], on_step: Callable[[], None]) -> Iterator[Expected]:
    """The states, with a call behind each that was used."""
    for state in states:
        yield state
        on_step()
