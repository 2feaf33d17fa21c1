"""HyperStyle's refinement loop, written once against the backend interface."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .backends.base import Array, Backend, HostArray
from .manifest import Manifest


@dataclass(frozen=True, eq=False)
class Step:
    """The state after refinement step ``index``; 0 is the encoder's own inversion, before any offset.

    The arrays stay where the backend has them; each property brings its own to the host when it is read.
    """

    index: int
    _backend: Backend
    _images: tuple[Array, ...]
    _reconstructions: Array
    _codes: Array
    _kept: tuple[Array, ...]
    _separable: bool
    _n_tuned: int

    @cached_property
    def image(self) -> HostArray:
        """[B, 3, height, width] float32, about [-1, 1]."""
        return np.concatenate([self._backend.download(image) for image in self._images])

    @cached_property
    def reconstruction(self) -> HostArray:
        """What the next step looks at: [B, 3, H, W] float32 at the networks' input size."""
        return self._backend.download(self._reconstructions)

    @cached_property
    def codes(self) -> HostArray:
        """W+ codes, [B, n_styles, 512] float32; refinement does not change them."""
        return self._backend.download(self._codes)

    @cached_property
    def offset_codes(self) -> HostArray:
        """[B, n_tuned, 512] float32, summed over the steps; for the separable hypernetwork [B, index, n_tuned, 512]."""
        kept = [self._backend.download(codes) for codes in self._kept]
        if self.index == 0:
            rows = (0, self._n_tuned) if self._separable else (self._n_tuned,)
            return np.zeros((len(self._images), *rows, 512), np.float32)
        return np.stack(kept, 1) if self._separable else kept[0]


def refine(backend: Backend, manifest: Manifest, images: Array, steps: int) -> Iterator[Step]:
    """Invert photos: ``codes = encoder(x)``, then ``steps`` times ``z += hypernet(x, y); y = synthesis(codes, W(z))``.

    Alaluf et al., "HyperStyle" (2022), section 3.3, with the accumulated offsets held as offset codes. A photo has
    weights of its own, so `weights` and `synthesis` run once a photo and the other stages once a batch.

    Args:
        backend: where everything runs and stays.
        manifest: the bundle's; a separable hypernetwork is bilinear, so the codes of every step are kept.
        images: photos [B, 3, H, W] float32 in [-1, 1], uploaded.
        steps: refinement steps, 0 or more.

    Yields:
        ``steps + 1`` states, the first before refinement.
    """
    batch, separable, n_tuned = images.shape[0], manifest.separable, len(manifest.tuned)
    codes = backend.encode(images)
    drawn = [backend.synthesize(backend.row(codes, photo), backend.untuned) for photo in range(batch)]
    kept: tuple[Array, ...] = ()
    for index in range(steps + 1):
        reconstructions = backend.concatenate([reconstruction for _, reconstruction in drawn])
        yield Step(index, backend, tuple(image for image, _ in drawn), reconstructions, codes, kept, separable, n_tuned)
        if index == steps:
            return
        new = backend.predict(images, reconstructions)
        kept = (*kept, new) if separable or not kept else (backend.add(kept[0], new),)
        drawn = []
        for photo in range(batch):
            weights = backend.tune(backend.concatenate([backend.row(part, photo) for part in kept]), index + 1)
            drawn.append(backend.synthesize(backend.row(codes, photo), weights))
