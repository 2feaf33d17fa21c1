"""A way through edits and people: what to draw at each moment of a film."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...errors import ArrayError, InversionError
from ..bundle.inversion import Inversion
from ..manifest.manifest import Manifest
from ..methods.base import Method
from .change import Codes, NamedEdit, check_strength
from .folder import Directions

#: How a stretch from one end to the other is gone through: both map [0, 1] to itself.
EASINGS: Mapping[str, Callable[[float], float]] = {
    "smooth": lambda time: time * time * (3 - 2 * time),
    "linear": lambda time: time,
}
MAX_FRAMES = 100_000


@dataclass(frozen=True, eq=False)
class Trajectory:
    """From person to person in stretches of equal length, and along changes from a strength to another.

    All that a method keeps of a photo is interpolated. HyperStyle's weight offsets are affine in the offset codes and
    the number of steps (docs/architecture.md), so half the way between two people has the mean of their weights.

    Attributes:
        people: one at least.
        strengths: of each change, or direction of the bundle by its name, the first and the last; that is reached at
            the end, or with ``loop`` in the middle.
        loop: come back to where it began, so that the film can be repeated.
        easing: a name in ``EASINGS``, of every stretch.
    """

    people: Sequence[Inversion]
    strengths: Mapping[Any, tuple[float, float]] = field(default_factory=dict)
    loop: bool = False
    easing: str = "smooth"

    def check(self, manifest: Manifest, method: Method) -> None:
        """See that there is a way between people whom a method found.

        Raises:
            InversionError: a person is of another model or method, or two keep the codes of different numbers of
                steps.
            ArrayError: no people, or an unknown easing.
        """
        if not self.people:
            raise ArrayError("No inversions to animate", got="an empty list", expected="at least one")
        if self.easing not in EASINGS:
            raise ArrayError("Unknown easing", got=self.easing, expected=", ".join(EASINGS))
        for person in self.people:
            person.check(manifest, method)
        grows = any("steps" in spec.shape for spec in method.state())
        if grows and len({person.steps for person in self.people}) > 1:
            raise InversionError(
                "There is no way between inversions that keep the codes of different numbers of steps",
                got=", ".join(str(person.steps) for person in self.people),
                expected="one number of steps",
                hint="Invert the photos with the same --steps.",
            )

    def resolved(self, directions: Directions) -> "Trajectory":
        """The same with a bundle's directions in the place of names, their strengths checked.

        Raises:
            DirectionError: an unknown name, a change of another model, or a strength out of range.
        """
        ends = list(self.strengths.values())
        firsts = directions.resolved({change: first for change, (first, _) in self.strengths.items()})
        lasts = [check_strength(change.name, last) for change, (_, last) in zip(firsts, ends, strict=True)]
        spans = zip(firsts.values(), lasts, strict=True)
        return replace(self, strengths=dict(zip(firsts, spans, strict=True)))

    def positions(self, frames: int) -> Iterator[float]:
        """Where each of a film's frames is, from 0 to 1; of a loop the end is the beginning, and not shown twice.

        Raises:
            ArrayError: fewer than 2 frames, or too many.
        """
        if not 2 <= frames <= MAX_FRAMES:
            raise ArrayError("The number of frames is out of range", got=frames, expected=f"2 to {MAX_FRAMES}")
        last = frames if self.loop else frames - 1
        return (frame / last for frame in range(frames))

    def person(self, position: float) -> tuple[dict[str, Codes], float]:
        """What is kept of whoever is at a position, and the number of steps, which may be a fraction."""
        stations = [*self.people, self.people[0]] if self.loop else list(self.people)
        stretches = len(stations) - 1
        if stretches < 1 or len(self.people) == 1:
            return dict(self.people[0].arrays), self.people[0].steps
        stretch = min(int(position * stretches), stretches - 1)
        first, second = stations[stretch], stations[stretch + 1]
        time = EASINGS[self.easing](position * stretches - stretch)
        arrays = {name: _between(array, second.arrays[name], time) for name, array in first.arrays.items()}
        return arrays, first.steps + (second.steps - first.steps) * time

    def edit(self, position: float) -> NamedEdit:
        """The strengths at a position."""
        time = EASINGS[self.easing](1 - abs(1 - 2 * position) if self.loop else position)
        return {change: first + (last - first) * time for change, (first, last) in self.strengths.items()}


def _between(first: Codes, second: Codes, time: float) -> Codes:
    """Exactly the ends at 0 and 1."""
    share = np.float32(time)
    return (np.float32(1) - share) * first + share * second
