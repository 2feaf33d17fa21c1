"""What timing the stages costs: the loop on a backend whose stages do nothing, with the stage clock and without.

Run: python benchmarks/profile_overhead.py [--steps 5] [--rounds 2000]
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.backends.host import HostBackend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import (
    CheckpointSpec,
    GeneratorSpec,
    GraphSpec,
    ImageSpec,
    Manifest,
    MethodSpec,
    StateSpec,
    TensorSpec,
)
from hyperstyle_deploy.runtime.methods.hyperstyle import HyperStyle
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock
from hyperstyle_deploy.runtime.refinement.loop import refine


def spec(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> GraphSpec:
    """A graph whose shapes nobody looks at."""
    tensors = (tuple(TensorSpec(each, "float32", ()) for each in side) for side in (inputs, outputs))
    return GraphSpec(f"{name}.onnx", 20, *tensors)


PICTURES = ("image", "reconstruction")
GRAPHS = {
    "encoder": spec("encoder", ("image",), ("codes",)),
    "hypernet": spec("hypernet", PICTURES, ("offset_codes",)),
    "weights": spec("weights", ("offset_codes", "steps"), ()),
    "synthesis_one": spec("synthesis_one", ("codes",), PICTURES),
}
MANIFEST = Manifest(
    method=MethodSpec("hyperstyle", 5, 0),
    domain="faces",
    model="0" * 64,
    precision="float32",
    licence=None,
    image=ImageSpec("photo", 3, 32, 32, (0, 32)),
    generator=GeneratorSpec("stylegan2", 32, 8, 8, layer_table((8, 8, 8, 8), {0: "full"})),
    state=(StateSpec("codes", (8, 8)), StateSpec("offset_codes", (1, 8))),
    checkpoints=(CheckpointSpec("hyperstyle", "none", "0" * 64),),
    constants=(),
    graphs=GRAPHS,
    files={},
    provenance={},
)


class Unchecked(Bundle):
    """A bundle that is on no disk: what it lacks is not asked for."""

    method = HyperStyle(MANIFEST)

    def constants(self) -> dict[str, Any]:
        return {}


class Idle(HostBackend):
    """Graphs that answer at once; images of one pixel, so that the loop's own arithmetic is small too."""

    name = "idle"

    def __init__(self) -> None:
        super().__init__(Unchecked(Path(), MANIFEST))
        pixel = np.zeros((1, 3, 1, 1), np.float32)
        self._answers: dict[str, list[Any]] = {
            "encoder": [np.zeros((1, 8, 8), np.float32)],
            "hypernet": [np.zeros((1, 1, 8), np.float32)],
            "weights": [],
            "synthesis_one": [pixel, pixel],
        }

    def outputs(self, graph: str, inputs: Mapping[str, Any]) -> list[Any]:
        return self._answers[graph]


def run(backend: Backend, photo: np.ndarray, steps: int) -> None:
    """The loop to its end."""
    for _ in refine(backend, photo, steps):
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    backend, photo = Idle(), np.zeros((1, 3, 1, 1), np.float32)
    sides: dict[str, list[float]] = {"plain": [], "clocked": []}
    for _ in range(arguments.rounds):
        for name, seconds in sides.items():
            start = time.perf_counter()
            if name == "plain":
                run(backend, photo, arguments.steps)
            else:
                clock = StageClock(backend)
                run(clock, photo, arguments.steps)
                clock.take()
            seconds.append(time.perf_counter() - start)
    added = [clocked - plain for plain, clocked in zip(*sides.values(), strict=True)]
    low, _, high = quantiles(added, n=4)
    print(f"{arguments.steps} steps, {arguments.rounds} rounds in turn, on stages that do nothing:")
    for name, seconds in sides.items():
        print(f"  {name:8s} {1e6 * median(seconds):7.1f} us an inversion (median)")
    print(f"  the clock adds {1e6 * median(added):.1f} us (quartiles {1e6 * low:.1f} to {1e6 * high:.1f})")


if __name__ == "__main__":
    main()
