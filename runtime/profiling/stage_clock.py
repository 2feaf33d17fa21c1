"""Where an inversion's time goes: a backend that notes when each stage started and ended."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from numpy.typing import NDArray

from ..backends.base import Array, Backend, HostArray, Mark, Weights


@dataclass(frozen=True)
class Span:
    """One run of a stage: seconds after the first mark of its inversion, and how long."""

    stage: str
    start: float
    seconds: float


class StageClock:
    """Passes everything on to ``backend``, between two marks for each stage. For one thread.

    On a device the marks are events in the stream, and work is launched plainly, since what is recorded cannot be
    marked: the whole inversion is measured apart, without a clock.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._marks: list[tuple[str, Mark, Mark]] = []

    def as_backend(self) -> Backend:
        """This clock, for the loop."""
        return cast(Backend, self)

    def take(self) -> list[Span]:
        """The stages that ran since the last call, in order; waits for them."""
        marks, self._marks = self._marks, []
        seconds = self._backend.seconds
        first = marks[0][1] if marks else None
        return [Span(stage, seconds(first, start), seconds(start, end)) for stage, start, end in marks]

    def encode(self, image: Array) -> Array:
        """`encoder`."""
        return self._timed("encoder", self._backend.encode, image)

    def predict(self, image: Array, reconstruction: Array) -> Array:
        """`hypernet`."""
        return self._timed("hypernet", self._backend.predict, image, reconstruction)

    def tune(self, offset_codes: Array, steps: int) -> Weights:
        """`weights`; on a device `offsets` and the kernel."""
        return cast(Weights, self._timed("weights", self._backend.tune, offset_codes, steps))

    def synthesize(self, codes: Array, weights: Weights) -> tuple[Array, Array]:
        """`synthesis`, in its form for one code or for several."""
        stage = "synthesis_one" if codes.shape[0] == 1 else "synthesis"
        return cast(tuple[Array, Array], self._timed(stage, self._backend.synthesize, codes, weights))

    def compute(self, key: Hashable, work: Callable[[Array], Sequence[Array]], array: HostArray) -> list[NDArray[Any]]:
        """Do the work plainly: a recording would be replayed without its marks."""
        return [self._backend.download(output) for output in work(self._backend.upload(array))]

    def _timed(self, stage: str, run: Callable[..., Any], *arguments: object) -> Any:
        start = self._backend.mark()
        result = run(*arguments)
        self._marks.append((stage, start, self._backend.mark()))
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
