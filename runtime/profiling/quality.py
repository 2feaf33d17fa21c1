"""How many steps pay: L2 and PSNR of the reconstruction against the time that it takes to get there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from statistics import median
from typing import Any

import numpy as np

from ..backends.base import Backend, HostArray
from ..images import mean_squared_error
from ..manifest.manifest import Manifest
from ..quality.tolerance import PEAK
from ..refinement.loop import states
from .stage_clock import StageClock


@dataclass(frozen=True)
class StepQuality:
    """After ``steps`` refinement steps: seconds from the photo in memory, medians over the photos, and their L2.

    ``l2`` is the paper's, at the networks' input size over [-1, 1]; ``psnr`` in dB is ``10 log10(4 / l2)``, the median
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


def step_quality(backend: Backend, manifest: Manifest, photos: Sequence[HostArray], steps: int) -> list[StepQuality]:
    """Invert every photo once, in ``steps`` steps, and look at each.

    Args:
        backend: what runs the loop; it should be warm.
        manifest: the bundle's.
        photos: [3, H, W] float32 in [-1, 1] at the networks' input size, at least one.
        steps: refinement steps, 0 or more.
    """
    errors, times = [], []
    for photo in photos:
        clock = StageClock(backend)
        images = np.ascontiguousarray(photo[None])
        uploaded = backend.upload(images)
        l2 = [
            float(mean_squared_error(images, backend.download(state.reconstructions))[0])
            for state in states(clock.as_backend(), manifest, uploaded, steps)
        ]
        errors.append(l2)
        spans = clock.take()
        drawn = [index for index, span in enumerate(spans) if span.stage == "synthesis_one"]
        # Time of the stages alone: looking at a state takes time of its own.
        until = list(accumulate(span.seconds for span in spans))
        times.append([until[index] for index in drawn])
    return [_summary(step, np.array(errors), np.array(times)) for step in range(steps + 1)]


def _summary(step: int, errors: np.ndarray, times: np.ndarray) -> StepQuality:
    l2 = errors[:, step]
    psnr = median(10 * np.log10(PEAK * PEAK / np.maximum(l2, 1e-12)))
    gain = float(np.median(1 - l2 / np.maximum(errors[:, step - 1], 1e-12))) if step else None
    seconds = float(np.median(times[:, step]))
    return StepQuality(step, seconds, float(np.median(l2)), tuple(map(float, l2)), float(psnr), gain)
