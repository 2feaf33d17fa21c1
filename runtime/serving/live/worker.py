"""A bundle's worker: one thread that does what waits in two bounded queues, drawings before inversions."""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ....errors import ServiceError
from ...drawing import Person
from ...session import Session
from .work import Drawing, Inverting, Work, draw, fail, invert_together


class FullError(ServiceError):
    """A queue is full; ``seconds`` is when to try again."""

    def __init__(self, waiting: int, seconds: int) -> None:
        hint = f"Try again in {seconds} s."
        super().__init__("The service is busy", got=f"{waiting} requests that wait", expected="fewer", hint=hint)
        self.seconds = seconds


class ClosingError(ServiceError):
    """The service ends: it finishes what it has, and takes nothing more."""

    def __init__(self) -> None:
        super().__init__("The service is closing", hint="Try another one, or again later.")


class Meter(Protocol):
    """Who is told how long things take."""

    def spent(self, stage: str, seconds: float) -> None:
        """A stage of one request: "waiting", "inverting", "drawing"."""

    def batched(self, photos: int) -> None:
        """How many photos went through the networks together."""


@dataclass(frozen=True)
class Queueing:
    """How much may wait, in each of the two queues; how many photos run together, and how long one waits for others."""

    waiting: int = 32
    batch: int = 4
    batch_wait: float = 0.0
    #: Whose weights are kept for their next drawing.
    people: int = 4


class Worker:
    """Does the work of one bundle, one piece after the other, in a thread of its own.

    Photos that wait, with equal settings, go through the networks together. Between two steps of them drawings are
    done, so that sliders answer while somebody's photo is refined.

    Args:
        name: of its thread.
        queueing, meter: bounds, and who is told how long things take.
        sessions: those that are served now; people of others are not kept.
    """

    def __init__(
        self, name: str, queueing: Queueing, meter: Meter, sessions: Callable[[], Collection[Session]]
    ) -> None:
        self._queueing, self._meter, self._sessions = queueing, meter, sessions
        self._changed = threading.Condition(threading.RLock())
        self._drawings: deque[Drawing] = deque()
        self._photos: deque[Inverting] = deque()
        self._closing = False
        self._running = 0
        self._people: OrderedDict[tuple[Session, bytes], Person] = OrderedDict()
        #: Seconds that a photo or a drawing took of late, to say when to come again.
        self._pace = {Inverting: 1.0, Drawing: 0.1}
        self._thread = threading.Thread(target=self._run, name=f"bundle {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pieces of work that wait."""
        with self._changed:
            return sum(not work.left for queue in (self._drawings, self._photos) for work in queue)

    @property
    def running(self) -> int:
        """Pieces of work that are being done."""
        return self._running

    def submit(self, work: "Inverting | Drawing") -> None:
        """Queue a piece of work.

        Raises:
            FullError: as many wait as may.
            ClosingError: the worker was told to end.
        """
        with self._changed:
            self.check_room(type(work))
            (self._drawings if isinstance(work, Drawing) else self._photos).append(work)  # type: ignore[arg-type]
            self._changed.notify()

    def check_room(self, kind: "type[Inverting | Drawing]") -> None:
        """See that one more may wait, before anything is done for it.

        Raises:
            FullError, ClosingError: as ``submit``.
        """
        with self._changed:
            if self._closing:
                raise ClosingError
            queue: deque[Any] = self._drawings if kind is Drawing else self._photos
            if len(queue) < self._queueing.waiting:
                return
            there = [work for work in queue if not work.left]
            if len(there) >= self._queueing.waiting:
                raise FullError(len(there), max(1, math.ceil(len(there) * self._pace[kind])))
            queue.clear()
            queue.extend(there)

    def drain(self) -> None:
        """Take no more work; what waits is still done."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, seconds: float | None = None) -> bool:
        """Drain, and wait until all is done; returns whether it was, within these seconds."""
        self.drain()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while works := self._next():
            if isinstance(works[0], Drawing):
                self._draw(works[0])
            else:
                self._invert([work for work in works if isinstance(work, Inverting)])

    def _next(self) -> Sequence[Work]:
        """A drawing, or photos for a batch; nothing at the end."""
        with self._changed:
            while True:
                if drawing := self._first(self._drawings):
                    return drawing
                if photos := self._first(self._photos):
                    self._fill(photos)
                    return photos
                if self._closing:
                    return ()
                self._changed.wait()

    def _first(self, queue: "deque[Any]") -> list[Any]:
        """The first of a queue that somebody waits for, begun."""
        while queue:
            work = queue.popleft()
            if self._begun(work):
                return [work]
        return []

    def _fill(self, photos: list[Inverting]) -> None:
        """Put more photos of the same key to the first, waiting for them no longer than settings say."""
        until = time.monotonic() + self._queueing.batch_wait
        while True:
            for work in [work for work in self._photos if work.key == photos[0].key]:
                if len(photos) == self._queueing.batch:
                    return
                self._photos.remove(work)
                if self._begun(work):
                    photos.append(work)
            left = until - time.monotonic()
            if left <= 0 or self._drawings or self._closing or len(photos) == self._queueing.batch:
                return
            self._changed.wait(left)

    def _begun(self, work: Work) -> bool:
        begun = not work.left and work.future.set_running_or_notify_cancel()
        if begun:
            self._meter.spent("waiting", time.monotonic() - work.since)
        return begun

    def _invert(self, works: Sequence[Inverting]) -> None:
        self._meter.batched(len(works))
        self._running += len(works)
        started, drawn = time.monotonic(), 0.0
        try:
            for _ in invert_together(works):
                drawn += self._draw_waiting()
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait are told)
            fail(works, error)
        finally:
            self._running -= len(works)
        spent = (time.monotonic() - started - drawn) / len(works)
        self._meter.spent("inverting", spent)
        self._keep_pace(Inverting, spent)

    def _draw_waiting(self) -> float:
        """Draw what waits; the seconds that it took."""
        started = time.monotonic()
        while True:
            with self._changed:
                drawing = self._first(self._drawings)
            if not drawing:
                return time.monotonic() - started
            self._draw(drawing[0])

    def _draw(self, work: Drawing) -> None:
        self._running += 1
        started = time.monotonic()
        try:
            work.future.set_result(draw(work, self._person(work)))
        except Exception as error:  # noqa: BLE001
            fail([work], error)
        finally:
            self._running -= 1
        self._meter.spent("drawing", time.monotonic() - started)
        self._keep_pace(Drawing, time.monotonic() - started)

    def _person(self, work: Drawing) -> Person:
        """The person's generator: of those who were drawn last, it is there already."""
        key, sessions = work.person, self._sessions()
        # Sessions that were exchanged must not be held for their people's sake.
        for other in [other for other in self._people if other[0] not in sessions]:
            del self._people[other]
        person = self._people.pop(key, None) or work.session.person(work.inversion)
        if work.session in sessions:
            self._people[key] = person
        while len(self._people) > self._queueing.people:
            self._people.popitem(last=False)
        return person

    def _keep_pace(self, kind: type[Work], seconds: float) -> None:
        self._pace[kind] += 0.2 * (seconds - self._pace[kind])  # type: ignore[index]
