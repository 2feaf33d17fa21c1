"""Which stage is wrong: each one on the reference's own inputs, so that no error of another reaches it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....kernels.arithmetic import decoded
from ...backends.base import Array, Backend, HostArray
from ..tolerance import tolerance
from .plain_backend import PlainBackend
from .steps import Difference, difference

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class StageDifference:
    """A stage's worst output, for the inputs that the reference had at ``step``; ``stage`` is a graph's name.

    ``constants`` stands for the generator's own weights and noises, which no graph computes.
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
    inputs: Arrays
    wanted: Arrays
    got: Arrays


def compare_stages(
    reference: PlainBackend, tested: Backend, constants: Arrays, images: HostArray, steps: int, gpu: bool
) -> list[StageDifference]:
    """Every stage at every step, against the reference.

    Args:
        reference: what is right.
        tested: the backend to verify.
        constants: of the bundle that it runs, as ``Bundle.constants`` gives them.
        images: one photo [1, 3, H, W].
        steps: refinement steps.
        gpu: whether the backend runs on a GPU.
    """
    allowed = tolerance(tested.precision, gpu)
    found = []
    for run in stage_runs(reference, tested, constants, images, steps, gpu):
        named = {name: difference(run.got[name], array, allowed) for name, array in run.wanted.items()}
        worst = max(named, key=lambda name: (not named[name].within, named[name].largest / (named[name].limit or 1)))
        found.append(StageDifference(run.stage, run.step, worst, named[worst]))
    return found


def stage_runs(
    reference: PlainBackend, tested: Backend, constants: Arrays, images: HostArray, steps: int, gpu: bool
) -> Iterator[StageRun]:
    """Run the loop in the reference, and with each of its stages the same one in the backend.

    In 16 bits a bundle's weights are in units of its own, so there `offsets` is compared instead of `weights`, and
    `synthesis` is given the backend's own weights for the reference's offset codes. On a GPU `weights` is `offsets` and
    a kernel, so both are compared.
    """
    manifest = reference.bundle.manifest
    same_units = not any(array.dtype.itemsize == 2 for array in constants.values())
    if same_units:
        yield StageRun("constants", 0, {}, reference.bundle.constants(), constants)
    x = tested.upload(images)
    codes = reference.encode(images)
    yield StageRun("encoder", 0, {"image": images}, {"codes": codes}, {"codes": _host(tested, tested.encode(x))})
    kept: tuple[HostArray, ...] = ()
    weights: Mapping[str, Array] = reference.untuned
    theirs: Mapping[str, Array] = tested.untuned
    for step in range(steps + 1):
        image, reconstruction = reference.synthesize(codes, weights)
        if same_units:
            theirs = {name: tested.upload(np.ascontiguousarray(array)) for name, array in weights.items()}
        drawn = tested.synthesize(tested.upload(codes), theirs)
        got = dict(zip(("image", "reconstruction"), (_host(tested, array) for array in drawn), strict=True))
        inputs = {"codes": codes, **weights, **reference.noises}
        yield StageRun("synthesis_one", step, inputs, {"image": image, "reconstruction": reconstruction}, got)
        if step == steps:
            return
        new = reference.predict(images, reconstruction)
        predicted = _host(tested, tested.predict(x, tested.upload(reconstruction)))
        inputs = {"image": images, "reconstruction": reconstruction}
        yield StageRun("hypernet", step + 1, inputs, {"offset_codes": new}, {"offset_codes": predicted})
        kept = (*kept, new) if manifest.separable or not kept else (kept[0] + new,)
        state = np.concatenate(kept)
        inputs = {"offset_codes": state, "steps": np.asarray(step + 1, np.float32)}
        if gpu or not same_units:
            wanted = reference.offsets(state, step + 1)
            found = tested.offsets(tested.upload(state), step + 1)
            yield StageRun("offsets", step + 1, inputs, wanted, {name: _host(tested, found[name]) for name in wanted})
        weights, theirs = reference.tune(state, step + 1), tested.tune(tested.upload(state), step + 1)
        if same_units:
            yield StageRun(
                "weights", step + 1, inputs, weights, {name: _host(tested, theirs[name]) for name in weights}
            )


def _host(backend: Backend, array: Array) -> NDArray[Any]:
    found = backend.download(array)
    return decoded(found, "bfloat16") if found.dtype == np.uint16 else found
