"""HyperStyle's refinement loop, written once against the backend interface."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..backends.base import Array, Backend, HostArray
from ..bundle.manifest import Manifest


@dataclass(frozen=True, eq=False)
class State:
    """The loop's arrays after refinement step ``index``, where the backend has them; 0 is before any offset.

    ``images`` holds one array [1, 3, height, width] a photo, ``reconstructions`` is [B, 3, H, W], ``codes`` is
    [B, n_styles, 512]; ``kept`` holds offset codes [B, n_tuned, 512]: one array, their sum, or one of every step.
    """

    index: int
    images: tuple[Array, ...]
    reconstructions: Array
    codes: Array
    kept: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """The state after refinement step ``index``; 0 is the encoder's own inversion, before any offset.

    The arrays stay where the backend has them; each property brings its own to the host when it is read.
    """

    _state: State
    _backend: Backend
    _manifest: Manifest

    @property
    def index(self) -> int:
        """How many refinement steps were taken."""
        return self._state.index

    @cached_property
    def image(self) -> HostArray:
        """[B, 3, height, width] float32, about [-1, 1]."""
        return np.concatenate([self._backend.download(image) for image in self._state.images])

    @cached_property
    def reconstruction(self) -> HostArray:
        """What the next step looks at: [B, 3, H, W] float32 at the networks' input size."""
        return self._backend.download(self._state.reconstructions)

    @cached_property
    def codes(self) -> HostArray:
        """W+ codes, [B, n_styles, 512] float32; refinement does not change them."""
        return self._backend.download(self._state.codes)

    @cached_property
    def offset_codes(self) -> HostArray:
        """[B, n_tuned, 512] float32, summed over the steps; for the separable hypernetwork [B, index, n_tuned, 512]."""
        kept = [self._backend.download(codes) for codes in self._state.kept]
        return _offset_codes(self._manifest, len(self._state.images), kept)


@dataclass(frozen=True, eq=False)
class Result:
    """What inverting a batch leaves on the host.

    ``codes`` and ``offset_codes`` are as in ``Step``; ``l2`` is [B, steps + 1], ``pixels`` [B, height, width, 3].
    """

    codes: HostArray
    offset_codes: HostArray
    l2: NDArray[np.float64]
    pixels: NDArray[np.uint8]


def refine(
    backend: Backend, manifest: Manifest, images: HostArray, steps: int, stopped: Collection[int] = ()
) -> Iterator[Step]:
    """The loop as a generator of steps that can be looked at: see ``states`` for arguments."""
    for state in states(backend, manifest, backend.upload(images), steps, stopped):
        yield Step(state, backend, manifest)


def invert(backend: Backend, manifest: Manifest, images: HostArray, steps: int) -> Result:
    """The loop as one piece of work: the photos go up, the result comes down, and nothing between.

    Args:
        backend: one that can record work replays what it recorded for this batch size and step count.
        manifest: the bundle's.
        images: photos [B, 3, H, W] float32 in [-1, 1], on the host.
        steps: refinement steps, 0 or more.
    """

    def work(photos: Array) -> list[Array]:
        errors, last = [], None
        for last in states(backend, manifest, photos, steps):
            errors.append(backend.squared_error(photos, last.reconstructions))
        assert last is not None
        return [last.codes, *errors, *map(backend.pixels, last.images), *last.kept]

    batch = len(images)
    codes, *arrays = backend.compute(("invert", batch, steps), work, images)
    errors, pixels, kept = arrays[: steps + 1], arrays[steps + 1 : steps + 1 + batch], arrays[steps + 1 + batch :]
    return Result(codes, _offset_codes(manifest, batch, kept), np.stack(errors, 1), np.concatenate(pixels))


def states(
    backend: Backend, manifest: Manifest, images: Array, steps: int, stopped: Collection[int] = ()
) -> Iterator[State]:
    """Invert photos: ``codes = encoder(x)``, then ``steps`` times ``z += hypernet(x, y); y = synthesis(codes, W(z))``.

    Alaluf et al., "HyperStyle" (2022), section 3.3, with the accumulated offsets held as offset codes. A photo has
    weights of its own, so `weights` and `synthesis` run once a photo and the other stages once a batch.

    Args:
        backend: where everything runs and stays.
        manifest: the bundle's; a separable hypernetwork is bilinear, so the codes of every step are kept.
        images: photos [B, 3, H, W] float32 in [-1, 1], uploaded.
        steps: refinement steps, 0 or more.
        stopped: photos of the batch that are not drawn any more; it may grow between states. Their images stay, their
            codes are of no use. The batch keeps its size, since backends prepare for one.

    Yields:
        ``steps + 1`` states, the first before refinement.
    """
    batch = images.shape[0]
    codes = backend.encode(images)
    drawn = [backend.synthesize(backend.row(codes, photo), backend.untuned) for photo in range(batch)]
    kept: tuple[Array, ...] = ()
    for index in range(steps + 1):
        reconstructions = backend.concatenate([reconstruction for _, reconstruction in drawn])
        yield State(index, tuple(image for image, _ in drawn), reconstructions, codes, kept)
        if index == steps:
            return
        new = backend.predict(images, reconstructions)
        kept = (*kept, new) if manifest.separable or not kept else (backend.add(kept[0], new),)
        for photo in range(batch):
            if photo not in stopped:
                weights = backend.tune(backend.concatenate([backend.row(part, photo) for part in kept]), index + 1)
                drawn[photo] = backend.synthesize(backend.row(codes, photo), weights)


def _offset_codes(manifest: Manifest, batch: int, kept: Sequence[HostArray]) -> HostArray:
    """Kept offset codes as an inversion has them: [B, n_tuned, 512], or [B, steps, n_tuned, 512] if separable."""
    if not kept:
        rows = (0, len(manifest.tuned)) if manifest.separable else (len(manifest.tuned),)
        return np.zeros((batch, *rows, 512), np.float32)
    return np.stack(kept, 1) if manifest.separable else kept[0]
