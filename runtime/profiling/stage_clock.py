"""Where an inversion's time goes: a backend that notes when each run of a graph started and ended."""

from dataclasses import dataclass

from ..backends.base import Backend, Mark
from ..backends.wrapper import Wrapper
from ..methods.base import Arrays


@dataclass(frozen=True)
class Span:
    """One run of a stage, a graph of the loop: seconds after the first mark of its inversion, and how long."""

    stage: str
    start: float
    seconds: float


class StageClock(Wrapper):
    """Marks the begin and the end of every run. For one thread.

    On a device the marks are events in the stream, and the work is launched plainly: a recording would be replayed
    without them. So a whole inversion is measured apart, without a clock. There `weights` is the graph `offsets` and
    the kernel.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._marks: list[tuple[str, Mark, Mark]] = []

    @property
    def runs(self) -> int:
        """How many have been noted since they were taken."""
        return len(self._marks)

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        start = self.mark()
        outputs = super().run(graph, inputs)
        self._marks.append((graph, start, self.mark()))
        return outputs

    def take(self) -> list[Span]:
        """What ran since the last call, in order; waits for it."""
        marks, self._marks = self._marks, []
        first = marks[0][1] if marks else None
        return [Span(stage, self.seconds(first, start), self.seconds(start, end)) for stage, start, end in marks]
