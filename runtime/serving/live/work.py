"""What a worker is asked for: a photo to invert, or a person to draw."""

import hashlib
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....errors import (
    AlignmentError,
    ArrayError,
    DirectionError,
    HyperStyleDeployError,
    ImageError,
    InversionError,
    ServiceError,
)
from ...bundle.inversion import Inversion
from ...drawing import Person
from ...editing.change import Edit
from ...refinement.loop import Step
from ...session import Session

LOGGER = logging.getLogger(__name__)
#: What only whoever asks can cause, and may be told.
CLIENT_ERRORS = (ImageError, ArrayError, InversionError, DirectionError, AlignmentError)
#: Pictures [N, height, width, 3] uint8.
Pictures: TypeAlias = NDArray[np.uint8]
#: Called in the worker's thread after every step: its number, the photo's L2 (None where there is none), its picture.
Watch: TypeAlias = Callable[[int, "float | None", NDArray[np.uint8]], None]
#: Edits that are drawn together; more take more memory.
TOGETHER = 8


@dataclass(eq=False)
class Work:
    """Something to do, its answer, and whether anybody still waits for that."""

    session: Session
    future: "Future[Any]" = field(default_factory=Future, init=False)
    since: float = field(default_factory=time.monotonic, init=False)
    left: bool = field(default=False, init=False)

    def answer(self, result: "Any | Exception") -> None:
        """Say what became of it, unless that was said, or it was left: other threads may do either at any time."""
        with suppress(InvalidStateError):
            if isinstance(result, Exception):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

    def leave(self) -> None:
        """Nobody waits any more: it is not begun, or not gone on with."""
        self.left = True
        self.future.cancel()


@dataclass(eq=False)
class Inverting(Work):
    """A photo [1, C, H, W] as ``Session.prepare`` makes it; the answer is an inversion with its image."""

    photo: NDArray[np.float32]
    steps: int
    until_gain: float | None = None
    watch: Watch | None = None

    @property
    def key(self) -> Hashable:
        """What photos have in common that go through the networks together."""
        return self.session, self.steps, self.until_gain


@dataclass(eq=False)
class Drawing(Work):
    """Edits of a person; the answer is their pictures."""

    inversion: Inversion
    edits: Sequence[Edit]

    @property
    def person(self) -> tuple[Session, bytes]:
        """Whose weights it needs: the session, and SHA-256 over all that makes a person."""
        digest = hashlib.sha256(str(self.inversion.steps).encode())
        for name, array in sorted(self.inversion.arrays.items()):
            digest.update(f"|{name} {array.shape}|".encode())
            digest.update(np.ascontiguousarray(array).data)
        return self.session, digest.digest()


def invert_together(works: Sequence[Inverting]) -> Iterator[None]:
    """Invert photos of one key, pausing after each step; each is answered as soon as it has settled."""
    first = works[0]
    settling = first.session.settling(len(works), first.until_gain)
    batch = np.concatenate([work.photo for work in works])
    for step in first.session.refine(batch, first.steps, settling.stopped):
        resting = set(settling.stopped)
        settling.take(step)
        for photo, work in enumerate(works):
            if photo in resting:
                continue
            if work.left:
                settling.stopped.add(photo)
                continue
            _look(work, step, photo)
            if photo in settling.stopped or step.index == first.steps:
                work.answer(first.session.settled_photo(settling, photo))
        yield
        if len(settling.stopped) == len(works):
            return


def _look(work: Inverting, step: Step, photo: int) -> None:
    """Show a step to who watches; only then does its picture leave the backend."""
    if work.watch is not None:
        work.watch(step.index, None if step.l2 is None else float(step.l2[photo]), step.pixels(photo))


def draw(work: Drawing, person: Person) -> Pictures:
    """The pictures of all edits."""
    return np.stack(list(person.draw_edits(work.edits, TOGETHER)))


def fail(works: Iterable[Work], error: Exception) -> None:
    """Tell those who wait; what is no error of the package's own is the log's affair."""
    if not isinstance(error, HyperStyleDeployError):
        LOGGER.error("work failed", exc_info=error)
        error = ServiceError("The service failed", hint="Its log says why.")
    for work in works:
        work.answer(error)
