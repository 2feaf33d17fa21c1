"""The thread that does what a worker has: photos step by step, drawings in between, and whose weights it keeps."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ...drawing import Person
from ...session import Session
from .work import Drawing, Inverting, Work, draw, fail, invert_together


class Meter(Protocol):
    """Who is told how long things take."""

    def spent(self, stage: str, seconds: float) -> None:
        """A stage of one request: here "waiting", "step", "inverting", "drawing"."""

    def batched(self, photos: int) -> None:
        """How many photos went through the networks together."""


class Source(Protocol):
    """Where a hand gets its work."""

    def next_for(self, hand: "Hand") -> Sequence[Work]:
        """A drawing, or photos for a batch, as soon as there are any; nothing at the end."""

    def drawings_for(self, hand: "Hand") -> Iterator[Drawing]:
        """The drawings that wait now, one by one."""

    def keep_pace(self, hand: "Hand", kind: type[Work], seconds: float) -> None:
        """So long took a photo or a drawing."""


class Hand:
    """A thread that works until its source has nothing more for it.

    Args:
        name: of the thread.
        source: where its work comes from.
        people: whose weights are kept for their next drawing.
        meter: told of every piece of work.
        sessions: those that are served now; people of others are not kept.
    """

    def __init__(
        self, name: str, source: Source, people: int, meter: Meter, sessions: Callable[[], Collection[Session]]
    ) -> None:
        self._source, self._most_people, self._meter, self._sessions = source, people, meter, sessions
        self._people: OrderedDict[tuple[Session, bytes], Person] = OrderedDict()
        #: What it is at; drawings are done while photos are.
        self.works: list[Work] = []
        #: When the step of photos, or the drawing, began that it is at.
        self.since = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still works, or waits for work."""
        return self._thread.is_alive()

    def join(self, seconds: float | None) -> None:
        """Wait for its end, no longer than that."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        """Do the next work; False at the end. While that is waited for, nothing holds the last one, nor its session."""
        works = self._source.next_for(self)
        if works and isinstance(works[0], Drawing):
            self._draw(works[0])
        elif works:
            self._invert([work for work in works if isinstance(work, Inverting)])
        return bool(works)

    @contextmanager
    def _at(self, works: Sequence[Work]) -> Iterator[None]:
        """While it is at these; whatever goes wrong, those who wait are told."""
        self.since = time.monotonic()
        self.works += works
        try:
            yield
        except Exception as error:  # noqa: BLE001
            fail(works, error)
        finally:
            del self.works[-len(works) :]
            self.since = time.monotonic()

    def _invert(self, works: Sequence[Inverting]) -> None:
        self._meter.batched(len(works))
        started, drawn = time.monotonic(), 0.0
        with self._at(works):
            for _ in invert_together(works):
                self._meter.spent("step", time.monotonic() - self.since)
                drawn += self._draw_waiting()
                self.since = time.monotonic()
        spent = (time.monotonic() - started - drawn) / len(works)
        self._meter.spent("inverting", spent)
        self._source.keep_pace(self, Inverting, spent)

    def _draw_waiting(self) -> float:
        """Draw what waits; the seconds that it took."""
        started = time.monotonic()
        for drawing in self._source.drawings_for(self):
            self._draw(drawing)
        return time.monotonic() - started

    def _draw(self, work: Drawing) -> None:
        started = time.monotonic()
        with self._at([work]):
            work.answer(draw(work, self._person(work)))
        spent = time.monotonic() - started
        self._meter.spent("drawing", spent)
        self._source.keep_pace(self, Drawing, spent)

    def _person(self, work: Drawing) -> Person:
        """The person's generator: of those who were drawn last, it is there already."""
        key, sessions = work.person, self._sessions()
        # Sessions that were exchanged must not be held for their people's sake.
        for other in [other for other in self._people if other[0] not in sessions]:
            del self._people[other]
        person = self._people.pop(key, None) or work.session.person(work.inversion)
        if work.session in sessions:
            self._people[key] = person
        while len(self._people) > self._most_people:
            self._people.popitem(last=False)
        return person
