"""The loop on a bundle as its user runs it: the images of every step, and what each stage took."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..runtime.backends import Options, open_backend
from ..runtime.backends.base import Backend
from ..runtime.bundle.reader import Bundle
from ..runtime.refinement.loop import refine
from .effects import Images

#: The backend's method for each stage of the loop.
_STAGES = {"encode": "encoder", "predict": "hypernet", "tune": "weights", "synthesize": "synthesis_one"}


class _Timed:
    """A backend whose stages are timed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.seconds: dict[str, list[float]] = {stage: [] for stage in _STAGES.values()}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        return self._timed(method, self.seconds[_STAGES[name]]) if name in _STAGES else method

    @staticmethod
    def _timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = method(*arguments)
            seconds.append(time.perf_counter() - started)
            return result

        return run


def run_loop(
    bundle: Bundle, backend: str, threads: int | None, photos: Sequence[NDArray[np.float32]], steps: int
) -> tuple[list[Images], dict[str, float]]:
    """Run the loop on each photo.

    Args:
        bundle: what to run; its files are not verified.
        backend: a resolved name.
        threads: CPU threads, None for the backend's choice.
        photos: [3, H, W] float32 in [-1, 1] each.
        steps: refinement steps.

    Returns:
        The images of every photo and step, and the median seconds of each stage, photo by photo; a photo's first
        run of a stage is left out where there are others.

    Raises:
        BackendError: the backend cannot load or run a graph.
    """
    timed = _Timed(open_backend(backend, bundle, Options(threads)))
    timed.encode(timed.upload(np.zeros((1, *photos[0].shape), np.float32)))
    images: list[Images] = [
        [step.image[0] for step in refine(cast(Backend, timed), bundle.manifest, photo[None], steps)]
        for photo in photos
    ]
    return images, {stage: median(seconds[1:] or seconds) for stage, seconds in timed.seconds.items() if seconds}
