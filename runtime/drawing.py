"""One person's generator: weights that are computed once, for any number of drawings."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArrayError
from ..kernels.arithmetic import tile_offset
from .backends.base import Backend
from .editing.change import Edit, edited_codes, edited_styles
from .editing.channels import styled_graph
from .editing.trajectory import Trajectory
from .methods.base import CODES, IMAGE, STYLES, Array, Arrays
from .refinement.loop import own_weights


class Person:
    """Draws any codes with the weights of one person.

    Args:
        backend: what draws.
        arrays: what the method keeps of a photo, shaped as ``Manifest.state`` says.
        steps: refinement steps that they took; between two people it may be a fraction.
    """

    def __init__(self, backend: Backend, arrays: Mapping[str, NDArray[np.float32]], steps: float) -> None:
        self._backend, self._codes, self._steps = backend, arrays[CODES], steps
        self._state, self._count = _uploaded(backend, arrays, steps)

    @cached_property
    def _weights(self) -> Arrays:
        """What is the person's own, computed when it is drawn with first."""
        return own_weights(self._backend, self._state, self._steps)

    def offsets(self) -> dict[int, NDArray[np.float32]]:
        """The accumulated offsets by layer, as ``Session.weight_offsets`` gives them."""
        backend, tuned = self._backend, self._backend.method.offset_layers
        if not self._steps:
            return {layer.index: np.zeros(layer.weight_shape, np.float32) for layer in tuned}
        if not tuned or backend.method.called is not None:
            return {}
        kept = {name: array for name, array in self._state.items() if name != CODES}
        found = backend.run("offsets", {**kept, "steps": self._count})
        host = {layer: backend.download(found[f"offset.{layer.name}"]) for layer in tuned}
        return {
            layer.index: tile_offset(offset.astype(np.float32, copy=False), layer.kernel)
            for layer, offset in host.items()
        }

    def weights(self) -> dict[str, NDArray[Any]]:
        """What the generator has of its own, on the host, by the names of `synthesis`' inputs; nothing before steps."""
        return {name: self._backend.download(array) for name, array in self._weights.items()}

    def draw(self, codes: ArrayLike | None = None, styles: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Pictures [N, height, width, 3] of W+ codes, [N, styles, width] or [styles, width]; None for their own.

        ``styles`` [N, channels of all layers] are added to what the layers' affine maps make of the codes.

        Raises:
            ArrayError: codes or styles of another shape, or not finite numbers.
            DirectionError: styles, and the bundle has no graph that takes them.
        """
        return np.asarray(self._backend.download(self._backend.pixels(self._drawn(codes, styles))))

    def draw_edits(self, edits: Sequence[Edit], together: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """A picture [height, width, 3] of each edit; ``together`` are drawn at a time, all unless said.

        Raises:
            DirectionError: an edit moves styles, and the bundle has no graph that takes them.
        """
        together = together or len(edits)
        for first in range(0, len(edits), together):
            part = edits[first : first + together]
            yield from self.draw(edited_codes(self._codes, part), edited_styles(part))

    def image(self, codes: ArrayLike | None = None, styles: ArrayLike | None = None) -> NDArray[np.float32]:
        """The same before it is made 8 bits: [N, 3, height, width] float32, about [-1, 1]."""
        return np.asarray(self._backend.download(self._drawn(codes, styles)))

    def _drawn(self, codes: ArrayLike | None, styles: ArrayLike | None) -> Array:
        backend, generator = self._backend, self._backend.manifest.generator
        batch = checked_array("codes", self._codes if codes is None else codes, None)
        batch = batch[None] if batch.ndim == 2 else batch
        batch = checked_array("codes", batch, (-1, generator.styles, generator.width))
        inputs = {CODES: backend.upload(batch), **self._weights}
        if styles is None:
            return backend.run(backend.method.syntheses[len(batch) == 1], inputs)[IMAGE]
        added = checked_array(STYLES, styles, (len(batch), generator.channels))
        return backend.run(styled_graph(backend.manifest, backend.method), {**inputs, STYLES: backend.upload(added)})[
            IMAGE
        ]


def draw_frames(backend: Backend, trajectory: Trajectory, frames: int, batch: int) -> Iterator[NDArray[np.uint8]]:
    """A film's frames [height, width, 3], each when it is asked for; no more than ``batch`` are in memory.

    One person's frames are drawn ``batch`` at a time; between people every frame has weights of its own.
    """
    positions, first = trajectory.positions(frames), trajectory.people[0]
    if len(trajectory.people) == 1:
        person = Person(backend, first.arrays, first.steps)
        while together := list(itertools.islice(positions, batch)):
            yield from person.draw_edits([trajectory.edit(position) for position in together])
    for position in positions:
        yield from Person(backend, *trajectory.person(position)).draw_edits([trajectory.edit(position)])


def _uploaded(
    backend: Backend, arrays: Mapping[str, NDArray[np.float32]], steps: float
) -> tuple[dict[str, Any], Array]:
    """An inversion's arrays as the loop has them, with rows in front, and its number of steps."""
    state = {}
    for spec in backend.method.state():
        array = np.ascontiguousarray(arrays[spec.name])
        state[spec.name] = backend.upload(array if "steps" in spec.shape else array[None])
    return state, backend.upload(np.asarray(steps, np.float32))


def checked_array(name: str, array: ArrayLike, shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    """Finite numbers as dense float32, of a shape in which -1 stands for any size above 0; of any shape if None."""
    try:
        with np.errstate(over="ignore"):
            found = np.ascontiguousarray(array, np.float32)
    except (TypeError, ValueError) as error:
        raise ArrayError(f"{name} is no array of numbers", got=type(array).__name__, expected="float32") from error
    if shape is not None:
        fits = found.ndim == len(shape) and all(want in (-1, got) for want, got in zip(shape, found.shape, strict=True))
        if not fits or found.shape[0] == 0:
            expected = "float32 " + str(list(shape)).replace("-1", "N")
            raise ArrayError(f"{name} has the wrong shape", got=list(found.shape), expected=expected)
    if not np.isfinite(found).all():
        raise ArrayError(f"{name} has NaN or Inf in it", expected="finite numbers")
    return found
