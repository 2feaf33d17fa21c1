"""The refinement loop of every method, written once against the interfaces of methods and backends."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..backends.base import Backend, HostArray
from ..methods.base import CODES, IMAGE, RECONSTRUCTION, Array, Arrays
from ..methods.hyperstyle import OFFSET_CODES
from ..methods.optimisation import LOSS, NORMS

#: A batch in the loop, where the backend has it: an array's name and whose it is, a photo's number or the batch's.
State: TypeAlias = Mapping[tuple[str, int], Array]
BATCH = -1
PHOTOS, STEPS, ERRORS = ("photos", BATCH), ("steps", BATCH), ("errors", BATCH)


@dataclass(frozen=True, eq=False)
class Step:
    """The state of a batch after refinement step ``index``; 0 is before any.

    The arrays stay where the backend has them; each property brings its own to the host when it is read.
    """

    index: int
    photos: int
    _state: State
    _backend: Backend

    @cached_property
    def image(self) -> HostArray:
        """[B, 3, height, width] float32, about [-1, 1]."""
        return np.concatenate([self._backend.download(self._image(photo)) for photo in range(self.photos)])

    @cached_property
    def reconstruction(self) -> HostArray:
        """What the next step looks at: [B, 3, H, W] float32 at the networks' input size."""
        return np.concatenate([self._host(RECONSTRUCTION, photo) for photo in range(self.photos)])

    @cached_property
    def l2(self) -> NDArray[np.float64] | None:
        """The loop's L2 of every photo [B], at the networks' input size over [-1, 1]; None where the input is none."""
        return self._host(*ERRORS) if ERRORS in self._state else None

    @property
    def codes(self) -> HostArray:
        """W+ codes, [B, styles, width] float32."""
        return np.stack([self.arrays(photo)[CODES] for photo in range(self.photos)])

    @property
    def offset_codes(self) -> HostArray:
        """HyperStyle's: [B, n_tuned, width] float32, summed over the steps; if separable [B, index, n_tuned, width]."""
        return np.stack([self.arrays(photo)[OFFSET_CODES] for photo in range(self.photos)])

    def arrays(self, photo: int) -> dict[str, HostArray]:
        """What an inversion keeps of a photo, shaped as ``Manifest.state`` says."""
        kept = {}
        for spec in self._backend.method.state():
            shape = spec.sized(self.index)
            there = (spec.name, photo) in self._state
            kept[spec.name] = self._host(spec.name, photo).reshape(shape) if there else np.zeros(shape, np.float32)
        return kept

    def pixels(self, photo: int) -> NDArray[np.uint8]:
        """One photo's drawing, [height, width, 3] uint8."""
        return np.asarray(self._backend.download(self._backend.pixels(self._image(photo)))[0])

    def losses(self, photo: int) -> dict[str, float]:
        """The terms of an optimisation's loss by name, unweighted; none of other methods."""
        return {
            name.removeprefix(LOSS): float(self._host(name, owner)[0])
            for name, owner in self._state
            if owner == photo and name.startswith(LOSS)
        }

    def unusable(self, photo: int) -> str | None:
        """What of an optimisation's gradients or losses is not finite, by name; None if all are."""
        wrong = [name for name, value in self.losses(photo).items() if not np.isfinite(value)]
        if (NORMS, photo) in self._state:
            norms = zip(self._backend.method.gradient_tensors(), self._host(NORMS, photo), strict=True)
            wrong += [f"the gradient of {name}" for name, norm in norms if not np.isfinite(norm)]
        return wrong[0] if wrong else None

    def _image(self, photo: int) -> Array:
        """The image where the loop has drawn it, else drawn now."""
        if (IMAGE, photo) in self._state:
            return self._state[IMAGE, photo]
        return drawn_image(self._backend, self._state_of(photo), self.index)

    def _state_of(self, photo: int) -> Arrays:
        return {name: array for (name, owner), array in self._state.items() if owner == photo}

    def _host(self, name: str, owner: int) -> NDArray[Any]:
        return self._backend.download(self._state[name, owner])


def own_weights(backend: Backend, state: Arrays, steps: float) -> Arrays:
    """What a photo's generator has of its own after so many steps; nothing where the bundle's serves."""
    if not steps and not backend.method.own_from_start:
        return {}
    return backend.method.weights(backend, state, backend.upload(np.asarray(steps, np.float32)))


def drawn_image(backend: Backend, state: Arrays, steps: int) -> Array:
    """The image [1, 3, height, width] of a photo's state."""
    inputs = {CODES: state[CODES], **own_weights(backend, state, steps)}
    return backend.run(backend.method.syntheses[True], inputs)[IMAGE]


def refine(backend: Backend, photos: HostArray, steps: int, stopped: Collection[int] = ()) -> Iterator[Step]:
    """Invert a batch of photos: the start, then step by step.

    What a backend records is the start and one step; they are replayed for every later step, and batch of that size.

    Args:
        backend: where everything runs and stays.
        photos: [B, C, H, W] float32, as the networks see them.
        steps: refinement steps, 0 or more.
        stopped: photos of the batch that need not be drawn any more; it may grow between steps. Their arrays are of no
            use then. The batch keeps its size, since backends prepare for one.

    Yields:
        ``steps + 1`` states, the first before refinement.
    """
    batch = len(photos)
    uploaded = {PHOTOS: backend.upload(photos)}
    state = backend.replay("start", partial(_started, backend), {**uploaded, **_given(backend, batch, 0, steps)})
    state = {**_blank(backend, batch), **state}
    yield Step(0, batch, _shown(backend, state), backend)
    for index in range(1, steps + 1):
        images = {place: array for place, array in state.items() if place[0] == IMAGE}
        inputs = {place: array for place, array in state.items() if place not in images}
        inputs |= {**uploaded, STEPS: backend.upload(np.asarray(index, np.float32))}
        inputs |= _given(backend, batch, index, steps)
        # A recording does the same work every time: it draws those that have stopped, too.
        resting = () if backend.records else tuple(stopped)
        advanced = backend.replay("step", partial(_advanced, backend, resting), inputs)
        state = {**images, **advanced}
        yield Step(index, batch, _shown(backend, state), backend)


def _shown(backend: Backend, state: State) -> State:
    """What a step shows: not gradients and moments, which are as large as a generator and change in place."""
    kept = {spec.name for spec in backend.method.state()} | {IMAGE, RECONSTRUCTION, NORMS, ERRORS[0]}
    return {place: array for place, array in state.items() if place[0] in kept or place[0].startswith(LOSS)}


def _given(backend: Backend, batch: int, index: int, steps: int) -> State:
    """What the method gives to every photo's step: each has arrays of its own, since moments change in place."""
    return {
        (name, photo): backend.upload(array)
        for photo in range(batch)
        for name, array in backend.method.given(index, steps).items()
    }


def _blank(backend: Backend, batch: int) -> State:
    """Sums before anything is added to them, so that the first step is like the others."""
    return {
        (spec.name, photo): backend.upload(np.zeros((1, *spec.sized(0)), np.float32))
        for spec in backend.method.state()
        for photo in range(batch)
        if "steps" not in spec.shape
    }


def _started(backend: Backend, inputs: State) -> State:
    method, photos = backend.method, inputs[PHOTOS]
    given = _by_photo(inputs, photos.shape[0])
    states = method.started(backend, photos, given)
    drawn = [method.draw(backend, backend.row(photos, photo), state, None) for photo, state in enumerate(states)]
    return _finished(backend, photos, states, drawn)


def _advanced(backend: Backend, resting: Collection[int], inputs: State) -> State:
    photos, steps, method = inputs[PHOTOS], inputs[STEPS], backend.method
    before = _by_photo(inputs, photos.shape[0])
    reconstructions = [state[RECONSTRUCTION] for state in before]
    states = method.advance(backend, photos, reconstructions, before)
    drawn = [
        {RECONSTRUCTION: reconstructions[photo]}
        if photo in resting
        else method.draw(backend, backend.row(photos, photo), state, steps)
        for photo, state in enumerate(states)
    ]
    return _finished(backend, photos, states, drawn)


def _by_photo(inputs: State, batch: int) -> list[dict[str, Array]]:
    """Each photo's arrays."""
    return [{name: array for (name, owner), array in inputs.items() if owner == photo} for photo in range(batch)]


def _finished(backend: Backend, photos: Array, states: Sequence[Arrays], drawn: Sequence[Arrays]) -> State:
    """A batch's state, with its errors."""
    found: dict[tuple[str, int], Array] = {}
    for photo, (state, pictures) in enumerate(zip(states, drawn, strict=True)):
        found |= {(name, photo): array for name, array in {**state, **pictures}.items()}
    if backend.manifest.image.comparable:
        together = backend.concatenate([pictures[RECONSTRUCTION] for pictures in drawn])
        found[ERRORS] = backend.squared_error(photos, together)
    return found
