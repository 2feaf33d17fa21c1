"""What timing the stages costs: the loop on a backend whose stages do nothing, with the stage clock and without.

Run: python benchmarks/profile_overhead.py [--steps 5] [--rounds 2000]
"""

import argparse
import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import Any

import numpy as np

from hyperstyle_deploy.runtime.backends.base import GraphBackend
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec, Manifest
from hyperstyle_deploy.runtime.refinement.loop import invert
from hyperstyle_deploy.runtime.profiling.stage_clock import StageClock

MANIFEST = Manifest(
    "hyperstyle", "faces", "0" * 64, "float32", 5, False, ImageSpec(256, 256, 256, (0, 256)),
    layer_table(256, (0, 2, 3)), (), {}, {}, {},
)  # fmt: skip


class Idle(GraphBackend):
    """Stages that answer at once; images of one pixel, so that the loop's own arithmetic is small too."""

    def __init__(self) -> None:
        self.untuned: Mapping[str, Any] = {}
        self._answers = {
            "encoder": [np.zeros((1, 14, 512), np.float32)],
            "hypernet": [np.zeros((1, 3, 512), np.float32)],
            "synthesis_one": [np.zeros((1, 3, 1, 1), np.float32)] * 2,
        }
        self.noises = {}

    def run(self, stage: str, inputs: Mapping[str, Any]) -> list[Any]:
        return self._answers[stage]

    def tune(self, offset_codes: Any, steps: int) -> Mapping[str, Any]:
        return {}


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
                invert(backend, MANIFEST, photo, arguments.steps)
            else:
                clock = StageClock(backend)
                invert(clock.as_backend(), MANIFEST, photo, arguments.steps)
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
