"""Photos that stop early: which of a batch go on refining, and which step is the result of each."""

import math
from collections.abc import Callable, Mapping

from ...errors import ArrayError, OptimisationError
from .loop import Step


class Settling:
    """Follows a batch through the loop; without ``until_gain`` every photo takes every step.

    A photo stops after a step that brought its L2 down by less than ``until_gain``, relative to what it was before. Its
    result is the last step, or the one before if L2 rose. ``stopped`` grows while the loop runs, and tells it which
    photos to draw no more. Where the input is no photo there is no L2: ``l2`` stays empty, and nothing stops early.

    A photo also stops where ``enough`` says so of an optimisation's losses, and where something in these or in a
    gradient is not finite: ``failures`` then says what, and its result is the state so far with the least L2.

    Args:
        photos: size of the batch.
        until_gain: 0 to below 1; at 0 a photo stops when a step makes it worse.
        enough: whether a photo with these losses need go no further.

    Raises:
        ArrayError: ``until_gain`` is out of range.
    """

    def __init__(
        self, photos: int, until_gain: float | None, enough: Callable[[Mapping[str, float]], bool] = lambda _: False
    ) -> None:
        if until_gain is not None and not 0 <= until_gain < 1:
            raise ArrayError("until_gain is out of range", got=until_gain, expected="0 or more, and less than 1")
        self._until_gain, self._enough = until_gain, enough
        self.stopped: set[int] = set()
        self.results: dict[int, Step] = {}
        self.failures: dict[int, str] = {}
        self.l2: list[list[float]] = [[] for _ in range(photos)]
        self._last: Step | None = None
        self._best: dict[int, Step] = {}

    def take(self, step: Step) -> bool:
        """Note a step; returns whether any photo goes on.

        Raises:
            OptimisationError: a photo's loss is not finite before any step.
        """
        for photo, l2 in enumerate(self.l2):
            if photo in self.stopped:
                continue
            if self._usable(step, photo):
                self._note(step, photo, l2)
            if photo in self.failures:
                self._go_back(photo, l2)
        self._last = step
        return len(self.stopped) < len(self.l2)

    def _usable(self, step: Step, photo: int) -> bool:
        """Whether a state may be a photo's result; without a finite gradient it is its last one."""
        wrong = step.unusable(photo)
        if wrong is None:
            return True
        self.stopped.add(photo)
        self.failures[photo] = f"step {step.index}: {wrong} is not finite"
        finite = all(map(math.isfinite, step.losses(photo).values()))
        if step.index == 0 and not finite:
            raise OptimisationError(
                "The optimisation cannot start",
                got=self.failures[photo],
                expected="finite numbers",
                hint="Look at the bundle with: hyperstyle-deploy verify",
            )
        return finite

    def _note(self, step: Step, photo: int, l2: list[float]) -> None:
        self.results[photo] = step
        losses = step.losses(photo)
        if step.l2 is not None:
            l2.append(float(step.l2[photo]))
            if losses and l2[-1] <= min(l2):
                self._best[photo] = step
            self._stop_if_settled(photo, l2)
        if losses and self._enough(losses):
            self.stopped.add(photo)

    def _go_back(self, photo: int, l2: list[float]) -> None:
        """Make the best state the result: those before a failure may have run away."""
        if photo in self._best:
            self.results[photo] = self._best[photo]
            del l2[self._best[photo].index + 1 :]

    def _stop_if_settled(self, photo: int, l2: list[float]) -> None:
        if self._until_gain is None or self._last is None or not l2[-2] - l2[-1] < self._until_gain * l2[-2]:
            return
        self.stopped.add(photo)
        if l2[-1] > l2[-2]:
            l2.pop()
            self.results[photo] = self._last
