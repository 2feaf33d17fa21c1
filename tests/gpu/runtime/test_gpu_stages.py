"""Each stage, and each piece of arithmetic between them, on the GPU and on the CPU with the same inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.quality.tolerance import GPU_TOLERANCE
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.gpu.runtime.conftest import Rig

LIMIT = GPU_TOLERANCE["float32"]
STEPS = 2
Record = Callable[[str, object], None]
HostArrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Inputs:
    """What the graphs take, on the host, by graph; of two photos those that run once a batch."""

    photos: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    graphs: Mapping[str, HostArrays]


def inputs(session: Session, photos: list[NDArray[np.uint8]]) -> Inputs:
    """The first step of the loop, on the CPU."""
    backend, batch = session._backend, session.prepare(photos)
    codes = backend.run("encoder", {"image": batch})["codes"]
    drawn = [backend.run("synthesis_one", {"codes": codes[i : i + 1]})["reconstruction"] for i in range(len(batch))]
    pictures = {"image": batch, "reconstruction": np.concatenate(drawn)}
    kept = {
        "offset_codes": backend.run("hypernet", pictures)["offset_codes"][:1],
        "steps": np.asarray(STEPS, np.float32),
    }
    tuned = backend.run("weights", kept)
    graphs = {
        "encoder": {"image": batch},
        "hypernet": pictures,
        "offsets": kept,
        "weights": kept,  # on a GPU the kernel's work
        "synthesis_one": {"codes": codes[:1], **tuned},
        "synthesis": {"codes": codes, **tuned},
    }
    return Inputs(batch, pictures["reconstruction"], graphs)


def graph(name: str) -> Callable[[Backend, Inputs], Mapping[str, Any]]:
    """A graph on its inputs."""

    def run(backend: Backend, given: Inputs) -> Mapping[str, Any]:
        placed = {each: backend.upload(np.asarray(array, order="C")) for each, array in given.graphs[name].items()}
        return backend.run(name, placed)

    run.__name__ = name
    return run


def arithmetic(backend: Backend, given: Inputs) -> Mapping[str, Any]:
    """What lies between the stages."""
    left, right = backend.upload(given.photos), backend.upload(given.reconstructions)
    return {
        "squared_error": backend.squared_error(left, right),
        "add": backend.add(left, right),
        "row": backend.row(left, 1),
        "concatenate": backend.concatenate([backend.row(right, 1), backend.row(left, 0)]),
    }


@pytest.fixture(scope="module")
def given(rig: Rig, photos: list[NDArray[np.uint8]]) -> Inputs:
    return inputs(rig.host, photos)


GRAPHS = ("encoder", "hypernet", "offsets", "weights", "synthesis_one", "synthesis")


@pytest.mark.parametrize("stage", [*map(graph, GRAPHS), arithmetic], ids=lambda stage: stage.__name__)
def test_a_stage_is_the_cpus(
    rig: Rig,
    given: Inputs,
    stage: Callable[[Backend, Inputs], Mapping[str, Any]],
    record_property: Record,
) -> None:
    ours = {name: rig.backend.download(array) for name, array in stage(rig.backend, given).items()}
    want = {name: np.asarray(array) for name, array in stage(rig.host._backend, given).items()}
    assert set(ours) == set(want)
    differences = {name: relative(ours[name], want[name]) for name in want}
    record_property(f"{rig.gpu.backend} {stage.__name__}", f"{max(differences.values()):.1e}")
    outside = {name: value for name, value in differences.items() if not value <= LIMIT}
    assert not outside, outside


def relative(ours: NDArray[Any], want: NDArray[Any]) -> float:
    """The largest difference over the largest value; NaN if there is one."""
    assert (ours.shape, ours.dtype) == (want.shape, want.dtype)
    return float(np.abs(ours - want).max() / np.abs(want).max())


def test_pixels_are_the_cpus(rig: Rig, given: Inputs) -> None:
    """The same arithmetic on the same numbers, cut off in the same way."""
    image = given.photos * np.float32(1.2)  # past both ends
    ours = rig.backend.download(rig.backend.pixels(rig.backend.upload(image)))
    want = rig.host._backend.pixels(image)
    assert (ours.shape, ours.dtype) == (want.shape, np.uint8)
    assert np.abs(ours.astype(int) - want.astype(int)).max() <= 1
