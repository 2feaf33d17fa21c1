"""A loaded bundle: invert photos, look at every refinement step, draw edits."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ..errors import ArrayError, InversionError
from ..kernels.arithmetic import tile_offset
from .backends import AUTO, Options, open_backend, resolve
from .backends.base import Backend, HostArray
from .bundle.inversion import Inversion
from .bundle.manifest import Manifest
from .bundle.reader import Bundle
from .images import Photo, mean_squared_error, network_input, read_photo, to_uint8
from .methods.loop import Step, invert, refine
from .methods.settling import Settling

MAX_STEPS = 100


def load(
    path: "str | os.PathLike[str]",
    backend: str = AUTO,
    threads: int | None = None,
    precision_hint: str | None = None,
    device: int | None = None,
    trust_engines: bool = False,
) -> "Session":
    """Verify a bundle and load it into a backend.

    Args:
        path: the bundle's folder.
        backend: "onnxruntime" or "openvino" on the CPU, "auto" for the faster one of these that is installed
            (``Session.backend`` says which); "tensorrt", "tensorrt-rtx" or "onnxruntime-cuda" on a GPU.
        threads: CPU threads a run may use; None for the backend's own choice.
        precision_hint: "f32", or "bf16" on a CPU backend that can compute so.
        device: number of the GPU; None for the first.
        trust_engines: load engines that were not built on this machine. Engines are programs: they can do anything.

    Raises:
        BundleError: the bundle is incomplete, damaged, unsafe or of another version.
        BackendError: the backend is unknown, not installed, or cannot load the graphs or run the bundle's precision;
            another is never taken instead.
    """
    name = resolve(backend)
    if threads is not None and threads < 1:
        raise ArrayError("threads is out of range", got=threads, expected="1 or more")
    bundle = Bundle.open(path)
    return Session(bundle.manifest, open_backend(name, bundle, Options(threads, precision_hint, device, trust_engines)))


class Session:
    """A bundle in a backend. Methods may be called from several threads at once and give the serial answers."""

    def __init__(self, manifest: Manifest, backend: Backend) -> None:
        self.manifest = manifest
        self._backend = backend

    @property
    def backend(self) -> str:
        """Name of the backend that runs this session."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """What results are computed in: the bundle's precision ("float32"), or "bf16" where that was asked for."""
        return self._backend.precision

    @overload
    def invert(self, photo: Photo, steps: int | None = None, until_gain: float | None = None) -> Inversion: ...
    @overload
    def invert(
        self, photo: list[Photo] | tuple[Photo, ...], steps: int | None = None, until_gain: float | None = None
    ) -> list[Inversion]: ...
    def invert(
        self, photo: "Photo | Sequence[Photo]", steps: int | None = None, until_gain: float | None = None
    ) -> "Inversion | list[Inversion]":
        """Invert a photo, or a batch of photos.

        Args:
            photo: a path to a JPEG, PNG or WebP file, a Pillow image or an array [H, W, 3] uint8; or a list of these.
            steps: refinement steps; None for the bundle's default (5).
            until_gain: stop a photo after a step that lowers its L2 by less than this share of it, 0.01 for 1 %; its
                result is the better of its last two steps. None takes all ``steps``.

        Returns:
            An inversion with its image, or a list of them in the same order.

        Raises:
            ImageError: a photo cannot be read.
            ArrayError: an empty batch, or an array that is not a photo; or steps or until_gain out of range.
        """
        if isinstance(photo, (list, tuple)):
            return self._invert(photo, steps, until_gain)
        return self._invert([photo], steps, until_gain)[0]  # type: ignore[list-item]

    def _invert(self, photos: Sequence[Photo], steps: int | None, until_gain: float | None) -> list[Inversion]:
        if not photos:
            raise ArrayError("No photos to invert", got="an empty list", expected="at least one")
        batch = self.prepare(photos)
        steps = self._checked_steps(steps)
        if until_gain is not None:
            return self._invert_until(batch, steps, until_gain)
        result = invert(self._backend, self.manifest, batch, steps)
        return self._inversions(result.codes, result.offset_codes, result.pixels, result.l2, steps)

    def _invert_until(self, batch: HostArray, steps: int, until_gain: float) -> list[Inversion]:
        # What is drawn depends on the results, so no backend can record this: it goes step by step.
        settling = Settling(len(batch), until_gain)
        for step in refine(self._backend, self.manifest, batch, steps, settling.stopped):
            if not settling.take(step, mean_squared_error(batch, step.reconstruction)):
                break
        return [self.inversion(settling.results[photo], photo, l2) for photo, l2 in enumerate(settling.l2)]

    def prepare(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Photos as the networks see them: [B, 3, H, W] float32 in [-1, 1]."""
        image = self.manifest.image
        return network_input([read_photo(photo) for photo in photos], image.input_height, image.input_width)

    def refine(
        self, batch: NDArray[np.float32], steps: int | None = None, stopped: Collection[int] = ()
    ) -> Iterator[Step]:
        """The refinement loop itself, a state a step.

        Args:
            batch: photos [B, 3, H, W] float32 in [-1, 1], as ``prepare`` makes them.
            steps: refinement steps, 0 to 100; None for the bundle's default.
            stopped: photos of the batch that are not drawn any more; it may grow between steps.

        Yields:
            ``steps + 1`` states: ``index`` 0 is the encoder's inversion, the last one is the result.

        Raises:
            ArrayError: another shape or type, values that are not finite, or steps out of range.
        """
        image = self.manifest.image
        _check_array("batch", batch, (-1, 3, image.input_height, image.input_width))
        if np.abs(batch).max() > 1.0001:
            raise ArrayError("batch is out of range", got=f"up to {np.abs(batch).max():.3g}", expected="-1 to 1")
        return refine(self._backend, self.manifest, np.ascontiguousarray(batch), self._checked_steps(steps), stopped)

    def _checked_steps(self, steps: int | None) -> int:
        steps = self.manifest.default_steps if steps is None else steps
        if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MAX_STEPS:
            raise ArrayError("steps is out of range", got=steps, expected=f"0 to {MAX_STEPS}")
        return steps

    def inversion(self, step: Step, photo: int, l2: Sequence[float]) -> Inversion:
        """One photo of a state as an inversion; ``l2`` has ``step.index + 1`` values."""
        codes, offset_codes = step.codes[photo].copy(), step.offset_codes[photo].copy()
        picture = to_uint8(step.image[photo : photo + 1])[0]
        return Inversion(codes, offset_codes, step.index, self.manifest.model, tuple(map(float, l2)), picture)

    def inversions(self, step: Step, l2: NDArray[np.float64]) -> list[Inversion]:
        """The photos of a state as inversions; ``l2`` is [B, step.index + 1]."""
        return self._inversions(step.codes, step.offset_codes, to_uint8(step.image), l2, step.index)

    def _inversions(
        self,
        codes: HostArray,
        offset_codes: HostArray,
        pixels: NDArray[np.uint8],
        l2: NDArray[np.float64],
        steps: int,
    ) -> list[Inversion]:
        return [
            Inversion(code.copy(), offset.copy(), steps, self.manifest.model, tuple(map(float, errors)), picture)
            for code, offset, picture, errors in zip(codes, offset_codes, pixels, l2, strict=True)
        ]

    def synthesize(self, inversion: Inversion, codes: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """Draw one person with any codes: the inversion's weights serve the whole batch.

        Args:
            inversion: whose weights to use.
            codes: edited W+ codes, [N, n_styles, 512] or [n_styles, 512] float32; None for the inversion's own.

        Returns:
            [N, height, width, 3] uint8.

        Raises:
            InversionError: the inversion belongs to another model.
            ArrayError: codes of another shape or type, or not finite.
        """
        self._check_inversion(inversion)
        codes = inversion.codes if codes is None else codes
        batch = codes[None] if isinstance(codes, np.ndarray) and codes.ndim == 2 else codes
        _check_array("codes", batch, (-1, self.manifest.n_styles, 512))
        weights = self._backend.untuned
        if inversion.steps:
            weights = self._backend.tune(self._kept(inversion), inversion.steps)
        image, _ = self._backend.synthesize(self._backend.upload(np.ascontiguousarray(batch)), weights)
        return self._backend.download(self._backend.pixels(image))

    def weight_offsets(self, inversion: Inversion) -> dict[int, NDArray[np.float32]]:
        """The accumulated offsets in the authors' layout, for tools that read their `weight_deltas` files.

        Returns:
            {layer index: [out, in, k, k] float32} of every tuned layer; the index counts as the authors' list does.

        Raises:
            InversionError: the inversion belongs to another model.
        """
        self._check_inversion(inversion)
        tuned = self.manifest.tuned
        if inversion.steps == 0:
            return {layer.index: np.zeros(layer.weight_shape, np.float32) for layer in tuned}
        offsets = self._backend.offsets(self._kept(inversion), inversion.steps)
        return {
            layer.index: tile_offset(
                self._backend.download(offsets[f"offset.{layer.name}"]).astype(np.float32, copy=False), layer.kernel
            )
            for layer in tuned
        }

    def _kept(self, inversion: Inversion) -> object:
        kept = inversion.offset_codes if self.manifest.separable else inversion.offset_codes[None]
        return self._backend.upload(np.ascontiguousarray(kept))

    def _check_inversion(self, inversion: Inversion) -> None:
        manifest = self.manifest
        if inversion.model != manifest.model:
            raise InversionError(
                "The inversion belongs to another model",
                got=inversion.model[:12],
                expected=manifest.model[:12],
                hint="Use the bundle that it was made with.",
            )
        kept = (inversion.steps,) if manifest.separable else ()
        for name, array, shape in (
            ("codes", inversion.codes, (manifest.n_styles, 512)),
            ("offset_codes", inversion.offset_codes, (*kept, len(manifest.tuned), 512)),
        ):
            if array.shape != shape:
                raise InversionError(f"The inversion's {name} do not fit", got=list(array.shape), expected=list(shape))


def _check_array(name: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    expected = "float32 " + str(list(shape)).replace("-1", "N")
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        raise ArrayError(
            f"{name} is of the wrong type", got=getattr(array, "dtype", type(array).__name__), expected=expected
        )
    fits = array.ndim == len(shape) and all(want in (-1, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.shape[0] == 0:
        raise ArrayError(f"{name} has the wrong shape", got=list(array.shape), expected=expected)
    if not np.isfinite(array).all():
        raise ArrayError(f"{name} has NaN or Inf in it", expected="finite numbers")
