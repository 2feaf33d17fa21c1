"""A loaded bundle: invert photos, look at every refinement step, draw edits."""

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArrayError
from .backends import AUTO, Options, open_backend, resolve
from .backends.base import Backend
from .bundle.inversion import RESULT, Inversion
from .bundle.reader import Bundle
from .drawing import Person, checked_array, draw_frames
from .editing.change import Edit, NamedEdit, edited_codes
from .editing.folder import Directions
from .editing.trajectory import Trajectory
from .images import Photo, encoder_input, read_photo
from .manifest.checks import VALUES
from .manifest.manifest import Manifest
from .methods.optimisation import Optimisation
from .methods.settings import Settings
from .refinement.loop import Step, refine
from .refinement.settling import Settling

LOGGER = logging.getLogger(__name__)


def load(
    path: "str | os.PathLike[str]",
    backend: str = AUTO,
    threads: int | None = None,
    precision_hint: str | None = None,
    device: int | None = None,
    trust_engines: bool = False,
    method: str | None = None,
    settings: Settings | None = None,
    generator: str | None = None,
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
        method: an optimisation that the bundle has gradient graphs for ("projection"), in place of its own method.
        settings: of that optimisation; or of the bundle's own method, where that is one (IDInvert).
        generator: a further generator of the bundle ("toonify") that draws what the method finds.

    Raises:
        BundleError: the bundle is incomplete, damaged, unsafe or of another version, or has no such generator.
        BackendError: the backend is unknown, not installed, or cannot load the graphs or run the bundle's precision;
            another is never taken instead.
    """
    name = resolve(backend)
    if threads is not None and threads < 1:
        raise ArrayError("threads is out of range", got=threads, expected="1 or more")
    started = time.monotonic()
    bundle = Bundle.open(path, method, settings, generator)
    verified = time.monotonic()
    LOGGER.info("%s: every file has its checksum (%.1f s)", path, verified - started)
    session = Session(open_backend(name, bundle, Options(threads, precision_hint, device, trust_engines)))
    LOGGER.info("%s is loaded (%.1f s)", session, time.monotonic() - verified)
    return session


class Session:
    """A bundle in a backend. Methods may be called from several threads at once and give the serial answers.

    As a context it gives its memory back at the end, unless something else still holds the session.
    """

    def __init__(self, backend: Backend) -> None:
        self._opened: Backend | None = backend

    @property
    def _backend(self) -> Backend:
        if self._opened is None:
            raise ArrayError("The session is closed", expected="work inside its `with` block")
        return self._opened

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._backend.manifest

    @property
    def bundle(self) -> Bundle:
        """The bundle that is loaded."""
        return self._backend.bundle

    @property
    def method(self) -> str:
        """Name of the method that runs: the bundle's, the optimisation that it was loaded as, or with a generator's."""
        return self._backend.method.name

    @property
    def settings(self) -> str | None:
        """What an optimisation was told, in words; None of other methods."""
        method = self._backend.method
        return method.settings.told() if isinstance(method, Optimisation) else None

    @property
    def begins_with(self) -> str | None:
        """Name of the bundle's own method where an optimisation begins with what that finds; None elsewhere."""
        method = self._backend.method
        return method.begins_with if isinstance(method, Optimisation) else None

    @property
    def backend(self) -> str:
        """Name of the backend that runs this session."""
        return self._backend.name

    @property
    def precision(self) -> str:
        """What results are computed in: the bundle's precision ("float32"), or "bf16" where that was asked for."""
        return self._backend.precision

    def __repr__(self) -> str:
        if self._opened is None:
            return "Session(closed)"
        manifest = self.manifest
        size = f"{manifest.generator.size}x{manifest.image.height}"
        return (
            f"Session({self.method} {manifest.domain} {size}, {self.precision} on {self.backend}, "
            f"{self._backend.method.default_steps} steps, model {manifest.model[:12]})"
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = None

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
            steps: refinement steps; None for the bundle's default (HyperStyle and ReStyle 5, pSp and e4e 0,
                IDInvert 100).
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
        steps = self.checked_steps(steps)
        settling = self.settling(len(photos), until_gain)
        for step in refine(self._backend, self.prepare(photos), steps, settling.stopped):
            if not settling.take(step):
                break
        return self.settled(settling)

    def settling(self, photos: int, until_gain: float | None = None) -> Settling:
        """What follows a batch of so many photos through the loop and says which have stopped."""
        return Settling(photos, until_gain, self._backend.method.enough)

    def settled(self, settling: Settling) -> list[Inversion]:
        """The results of a batch that went through the loop, with their images."""
        return [self.settled_photo(settling, photo) for photo in range(len(settling.l2))]

    def settled_photo(self, settling: Settling, photo: int) -> Inversion:
        """The result of one of them, as soon as it has stopped."""
        found = self.inversion(settling.results[photo], photo, settling.l2[photo])
        if failure := settling.failures.get(photo):
            LOGGER.warning("a photo was stopped at %s", failure)
            found = replace(found, source={**found.source, f"{RESULT}stopped": failure})
        return found

    def prepare(self, photos: Sequence[Photo]) -> NDArray[np.float32]:
        """Photos as the networks see them: [B, C, H, W] float32 in [-1, 1]; drawings and label maps in [0, 1]."""
        return encoder_input([read_photo(photo) for photo in photos], self.manifest.image)

    def refine(
        self, batch: NDArray[np.float32], steps: int | None = None, stopped: Collection[int] = ()
    ) -> Iterator[Step]:
        """The refinement loop itself, a state a step.

        Args:
            batch: photos [B, C, H, W] float32, as ``prepare`` makes them.
            steps: refinement steps, 0 to 1000; None for the bundle's default.
            stopped: photos of the batch that need not be drawn any more; it may grow between steps.

        Yields:
            ``steps + 1`` states: ``index`` 0 is before refinement (of ReStyle the average image), the last one is the
            result.

        Raises:
            ArrayError: another shape or type, values that are not finite, or steps out of range.
        """
        image = self.manifest.image
        batch = checked_array("batch", batch, (-1, image.channels, image.input_height, image.input_width))
        low, high = VALUES[image.kind]
        if batch.min() < low - 1e-4 or batch.max() > high + 1e-4:
            found = f"{batch.min():.3g} to {batch.max():.3g}"
            raise ArrayError("batch is out of range", got=found, expected=f"{low:g} to {high:g}")
        return refine(self._backend, batch, self.checked_steps(steps), stopped)

    def checked_steps(self, steps: int | None) -> int:
        """Refinement steps, the bundle's default for None.

        Raises:
            ArrayError: they are out of range, or the method takes none.
        """
        return self._backend.method.checked_steps(steps)

    def inversion(self, step: Step, photo: int, l2: Sequence[float]) -> Inversion:
        """One photo of a state as an inversion with its image; ``l2`` has ``step.index + 1`` values, or none."""
        arrays = {name: array.copy() for name, array in step.arrays(photo).items()}
        method, model = self.method, self.manifest.model
        return Inversion(arrays, step.index, method, model, tuple(map(float, l2)), step.pixels(photo))

    def check(self, inversion: Inversion) -> None:
        """See that an inversion is of this bundle and of the method that it was loaded as.

        Raises:
            InversionError: it is not.
        """
        inversion.check(self.manifest, self._backend.method)

    def synthesize(self, inversion: Inversion, codes: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Draw one person with any codes: the inversion's weights serve the whole batch.

        Args:
            inversion: whose weights to use.
            codes: edited W+ codes, [N, styles, width] or [styles, width], converted to float32; None for the
                inversion's own.

        Returns:
            [N, height, width, 3] uint8.

        Raises:
            InversionError: the inversion belongs to another model.
            ArrayError: codes of another shape, or not finite numbers.
        """
        return self.person(inversion).draw(codes)

    def person(self, inversion: Inversion) -> Person:
        """A person's generator, to draw again and again: its weights are computed once.

        Raises:
            InversionError: the inversion belongs to another model.
        """
        self.check(inversion)
        return Person(self._backend, inversion.arrays, inversion.steps)

    @property
    def directions(self) -> Directions:
        """The directions that the bundle carries."""
        return Directions(self.bundle.path, self.manifest)

    def edit(self, inversion: Inversion, edits: NamedEdit | Sequence[NamedEdit]) -> NDArray[np.uint8]:
        """Draw edits of one person, all in one batch with the person's weights.

        Args:
            inversion: the person.
            edits: strengths of directions, by their names in the bundle or as ``Direction`` or ``Mix``; or a list of
                such edits. An edit of nothing is the inversion itself.

        Returns:
            [N, height, width, 3] uint8, N edits.

        Raises:
            InversionError: the inversion, or one that is mixed in, belongs to another model.
            DirectionError: an unknown direction, one of another model, or a strength out of range.
            ArrayError: no edits.
        """
        return np.stack(list(self.person(inversion).draw_edits(self._resolved(edits))))

    def edited_codes(self, inversion: Inversion, edits: NamedEdit | Sequence[NamedEdit]) -> NDArray[np.float32]:
        """The codes that ``edit`` draws, [N, styles, width]."""
        self.check(inversion)
        return edited_codes(inversion.codes, self._resolved(edits))

    def _resolved(self, edits: NamedEdit | Sequence[NamedEdit]) -> list[Edit]:
        """One edit or many as a list, checked, the bundle's directions in the place of names."""
        listed = [edits] if isinstance(edits, Mapping) else list(edits)
        if not listed:
            raise ArrayError("No edits to draw", got="an empty list", expected="at least one")
        return [self.directions.resolved(edit) for edit in listed]

    def frames(self, trajectory: Trajectory, frames: int, batch: int = 8) -> Iterator[NDArray[np.uint8]]:
        """Draw the frames of a film, [height, width, 3] uint8, one by one; ``editing.film.write_film`` writes them.

        Args:
            trajectory: through which people and edits.
            frames: how many, from 2 on.
            batch: frames that are drawn together where they show one person; more take more memory.

        Raises:
            InversionError: a person is of another model, or there is no way between two.
            DirectionError: an unknown direction, one of another model, or a strength out of range.
            ArrayError: no people, an unknown easing, or frames or batch out of range.
        """
        trajectory.check(self.manifest, self._backend.method)
        trajectory.positions(frames)
        if batch < 1:
            raise ArrayError("batch is out of range", got=batch, expected="1 or more")
        return draw_frames(self._backend, trajectory.resolved(self.directions), frames, batch)

    def weight_offsets(self, inversion: Inversion) -> dict[int, NDArray[np.float32]]:
        """The accumulated offsets in the authors' layout, for tools that read their `weight_deltas` files.

        Returns:
            {layer index: [out, in, k, k] float32} of every tuned layer; the index counts as the authors' list does.
            Nothing of a method without offsets.

        Raises:
            InversionError: the inversion belongs to another model.
        """
        return self.person(inversion).offsets()
