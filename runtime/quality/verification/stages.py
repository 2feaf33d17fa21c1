"""Which stage is wrong: each one on the reference's own inputs, so that no error of another reaches it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.base import Backend, HostArray
from ...backends.wrapper import Wrapper
from ...methods.base import Array, Arrays
from ...refinement.loop import refine
from ..tolerance import tolerance
from .plain_backend import PlainBackend
from .steps import Difference, difference

HostArrays = Mapping[str, NDArray[Any]]

#: What no graph computes, and what it is called among the stages.
CONSTANTS = "constants"
#: Of the tuned weights, and the offsets that they are made with: both graphs take the same inputs.
WEIGHTS, OFFSETS = "weights", "offsets"


@dataclass(frozen=True)
class StageDifference:
    """A stage's worst output, for the inputs that the reference had at ``step``; ``stage`` is a graph's name.

    ``CONSTANTS`` stands for the generator's own weights and noises and the average code, which no graph computes.
    """

    stage: str
    step: int
    output: str
    difference: Difference


@dataclass(frozen=True, eq=False)
class StageRun:
    """What a stage got and gave in the reference, and what it gave in the backend that is verified."""

    stage: str
    step: int
    inputs: HostArrays
    wanted: HostArrays
    got: HostArrays

    def worst(self, allowed: float) -> StageDifference:
        """The output that is furthest off, where a difference of ``allowed`` is accepted."""
        named = {name: difference(self.got[name], array, allowed) for name, array in self.wanted.items()}
        worst = max(named, key=lambda name: (not named[name].within, named[name].largest / (named[name].limit or 1)))
        return StageDifference(self.stage, self.step, worst, named[worst])


def compare_stages(
    reference: PlainBackend, tested: Backend, constants: HostArrays, images: HostArray, steps: int, gpu: bool
) -> list[StageDifference]:
    """Every run of the loop, at every step, against the reference.

    Args:
        reference: what is right.
        tested: the backend to verify.
        constants: of the bundle that it runs, as ``Bundle.constants`` gives them.
        images: one photo [1, C, H, W].
        steps: refinement steps.
        gpu: whether the backend runs on a GPU.
    """
    allowed = tolerance(tested.precision, gpu)
    return [run.worst(allowed) for run in stage_runs(reference, tested, constants, images, steps, gpu)]


def stage_runs(
    reference: PlainBackend, tested: Backend, constants: HostArrays, images: HostArray, steps: int, gpu: bool
) -> Iterator[StageRun]:
    """Run the loop in the reference, and every graph that it runs once more in the backend.

    In 16 bits a bundle's weights are in units of its own, so there `offsets` is compared instead of `weights`, and what
    draws is given the backend's own weights for the reference's offset codes. On a GPU `weights` is `offsets` and a
    kernel, so both are compared.
    """
    same_units = not any(array.dtype.itemsize == 2 for array in constants.values())
    if same_units:
        wanted = {name: array for name, array in reference.constants.items() if name in constants}
        yield StageRun(CONSTANTS, 0, {}, wanted, constants)
    beside = _Beside(reference, tested, same_units, apart=gpu or not same_units)
    watched = _Watched(reference)
    for state in refine(watched, images, steps):
        for graph, inputs, outputs in watched.take():
            yield from beside.runs(graph, state.index, inputs, outputs)


class _Watched(Wrapper):
    """Keeps what graphs got and gave until it is taken."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._seen: list[tuple[str, Arrays, Arrays]] = []

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        outputs = super().run(graph, inputs)
        self._seen.append((graph, inputs, outputs))
        return outputs

    def take(self) -> list[tuple[str, Arrays, Arrays]]:
        """The runs since the last call: graph, inputs as they were given, outputs."""
        seen, self._seen = self._seen, []
        return seen


class _Beside:
    """Does the reference's runs once more in the backend that is verified; ``apart`` looks at offsets by themselves."""

    def __init__(self, reference: PlainBackend, tested: Backend, same_units: bool, apart: bool) -> None:
        self._reference, self._tested, self._same_units, self._apart = reference, tested, same_units, apart
        #: The backend's own weights, on the backend.
        self._weights: Arrays = {}

    def runs(self, graph: str, step: int, given: Arrays, wanted: Arrays) -> Iterator[StageRun]:
        """One run of the reference, and what follows from it for the backend."""
        inputs = self._reference.completed(graph, given)
        if graph != WEIGHTS:
            yield self._compared(graph, step, inputs, wanted, self._tested.run(graph, self._uploaded(given, inputs)))
            return
        uploaded = self._uploaded(given, inputs)
        if self._apart:
            offsets = self._reference.run(OFFSETS, inputs)
            yield self._compared(OFFSETS, step, inputs, offsets, self._tested.run(OFFSETS, uploaded))
        self._weights = self._tested.run(WEIGHTS, uploaded)
        if self._same_units:
            yield self._compared(WEIGHTS, step, inputs, wanted, self._weights)

    def _uploaded(self, given: Arrays, inputs: Arrays) -> Arrays:
        """The reference's inputs, constants and all; in other units the backend's own weights and constants."""
        if self._same_units:
            return {name: self._upload(array) for name, array in inputs.items()}
        own = {name: self._weights[name] for name in given if name in self._weights}
        return {**{name: self._upload(array) for name, array in given.items() if name not in own}, **own}

    def _upload(self, array: Array) -> Array:
        # Not ``ascontiguousarray``, which makes a vector of a number.
        return self._tested.upload(np.asarray(array, order="C"))

    def _compared(self, graph: str, step: int, inputs: Arrays, wanted: Arrays, got: Arrays) -> StageRun:
        return StageRun(graph, step, inputs, wanted, {name: self._tested.download(got[name]) for name in wanted})
