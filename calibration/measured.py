"""The loop on a bundle as its user runs it: the images of every step, and what each stage took."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ..runtime.backends import Options, open_backend
from ..runtime.bundle.reader import Bundle
from ..runtime.profiling.stage_clock import StageClock
from ..runtime.refinement.loop import refine
from .effects import Images


def run_loop(
    bundle: Bundle, backend: str, threads: int | None, photos: Sequence[NDArray[np.float32]], steps: int
) -> tuple[list[Images], dict[str, float]]:
    """Run the loop on each photo.

    Args:
        bundle: what to run; its files are not verified.
        backend: a resolved name.
        threads: CPU threads, None for the backend's choice.
        photos: [C, H, W] float32 each, as the networks see them.
        steps: refinement steps.

    Returns:
        The images of every photo and step, and the median seconds of each stage, photo by photo; the first run of a
        stage is left out where there are others.

    Raises:
        BackendError: the backend cannot load or run a graph.
    """
    clock = StageClock(open_backend(backend, bundle, Options(threads)))
    next(refine(clock, np.zeros_like(photos[0])[None], 0))
    images: list[Images] = [[step.image[0] for step in refine(clock, photo[None], steps)] for photo in photos]
    seconds: dict[str, list[float]] = defaultdict(list)
    for span in clock.take():
        seconds[span.stage].append(span.seconds)
    return images, {stage: median(taken[1:] or taken) for stage, taken in seconds.items()}
