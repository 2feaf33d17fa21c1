"""How many steps pay: L2 and PSNR of the reconstruction against the time that it takes to get there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import median
from typing import Any

import numpy as np

from ..backends.base import Backend, HostArray
from ..quality.tolerance import PEAK
from ..refinement.loop import refine
from .stage_clock import StageClock


@dataclass(frozen=True)
class StepQuality:
    """After ``steps`` refinement steps: seconds from the photo in memory, medians over the photos, and their L2.

    ``l2`` is the loop's, at the networks' input size over [-1, 1]; ``psnr`` in dB is ``10 log10(4 / l2)``, the median
    over the photos; ``gain`` is the share of the L2 that this step took away, the median, None before refinement.
    """

    steps: int
    seconds: float
    l2: float
    l2_each: tuple[float, ...]
    psnr: float
    gain: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def step_quality(backend: Backend, photos: Sequence[HostArray], steps: int) -> list[StepQuality]:
    """Invert every photo once, in ``steps`` steps, and look at each.

    Args:
        backend: what runs the loop, on a bundle that takes photos; it should be warm.
        photos: [3, H, W] float32 in [-1, 1] at the networks' input size, at least one.
        steps: refinement steps, 0 or more.
    """
    errors, times = [], []
    for photo in photos:
        clock, l2, runs = StageClock(backend), [], []
        for step in refine(clock, np.ascontiguousarray(photo[None]), steps):
            assert step.l2 is not None
            l2.append(float(step.l2[0]))
            runs.append(clock.runs)
        errors.append(l2)
        # Time of the stages alone: looking at a state takes time of its own.
        until = list(accumulate(span.seconds for span in clock.take()))
        times.append([until[count - 1] for count in runs])
    return [_summary(step, np.array(errors), np.array(times)) for step in range(steps + 1)]


def _summary(step: int, errors: np.ndarray, times: np.ndarray) -> StepQuality:
    l2 = errors[:, step]
    psnr = median(10 * np.log10(PEAK * PEAK / np.maximum(l2, 1e-12)))
    gain = float(np.median(1 - l2 / np.maximum(errors[:, step - 1], 1e-12))) if step else None
    seconds = float(np.median(times[:, step]))
    return StepQuality(step, seconds, float(np.median(l2)), tuple(map(float, l2)), float(psnr), gain)
