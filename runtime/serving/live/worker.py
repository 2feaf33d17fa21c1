"""A bundle's worker: two bounded queues, and a hand that does what waits there, drawings before inversions."""

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import ServiceError
from ...session import Session
from .hand import Hand, Meter
from .work import Drawing, Inverting, Work, fail


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


class StuckError(ServiceError):
    """A call of the networks does not return."""

    def __init__(self) -> None:
        super().__init__("The bundle's networks do not answer", hint="Try another service, or again later.")


@dataclass(frozen=True)
class Queueing:
    """How much may wait, in each of the two queues; how many photos run together, and how long one waits for others."""

    waiting: int = 32
    batch: int = 4
    batch_wait: float = 0.0
    #: Whose weights are kept for their next drawing.
    people: int = 4
    #: Seconds after which a step of photos, or a drawing, is held to hang.
    stall: float = 120.0


class Worker:
    """Has the work of one bundle done, one piece after the other.

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
        self._name, self._queueing, self._meter, self._sessions = name, queueing, meter, sessions
        self._changed = threading.Condition(threading.RLock())
        self._drawings: deque[Drawing] = deque()
        self._photos: deque[Inverting] = deque()
        self._closing = False
        #: Whether the last turn was a drawing's.
        self._drew = False
        #: Seconds that a photo or a drawing took of late, to say when to come again.
        self._pace: dict[type[Work], float] = {Inverting: 1.0, Drawing: 0.1}
        #: Hands that hung and were given up, and what they hung in; no thread can be ended from outside.
        self._lost: list[Hand] = []
        self._lost_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        with self._changed:  # it asks for work at once
            self._hand = self._another_hand()

    def _another_hand(self) -> Hand:
        return Hand(f"bundle {self._name}", self, self._queueing.people, self._meter, self._sessions)

    @property
    def waiting(self) -> int:
        """Pieces of work that wait."""
        with self._changed:
            return sum(not work.left for queue in (self._drawings, self._photos) for work in queue)

    @property
    def running(self) -> int:
        """Pieces of work that are being done."""
        return len(self._hand.works)

    @property
    def hang(self) -> float | None:
        """When the step, or the drawing, began that takes longer than any may; None if none does."""
        hand = self._hand
        return hand.since if hand.works and time.monotonic() - hand.since > self._queueing.stall else None

    @property
    def is_stuck(self) -> bool:
        """Whether it hangs."""
        return self.hang is not None

    @property
    def lost(self) -> int:
        """Hands that were given up and still hang."""
        with self._changed:
            self._lost = [hand for hand in self._lost if hand.is_alive]
            return len(self._lost)

    def submit(self, work: "Inverting | Drawing") -> None:
        """Queue a piece of work.

        Raises:
            FullError: as many wait as may.
            ClosingError: the worker was told to end.
            StuckError: it hangs, or the session of this work was given up.
        """
        with self._changed:
            self.check_room(type(work))
            if work.session in self._lost_sessions:
                raise StuckError
            (self._drawings if isinstance(work, Drawing) else self._photos).append(work)  # type: ignore[arg-type]
            self._changed.notify_all()

    def check_room(self, kind: "type[Inverting | Drawing]") -> None:
        """See that one more may wait, before anything is done for it.

        Raises:
            FullError, ClosingError, StuckError: as ``submit``.
        """
        with self._changed:
            if self._closing:
                raise ClosingError
            if self.is_stuck:
                raise StuckError
            queue: deque[Any] = self._drawings if kind is Drawing else self._photos
            if len(queue) < self._queueing.waiting:
                return
            there = [work for work in queue if not work.left]
            if len(there) >= self._queueing.waiting:
                raise FullError(len(there), max(1, math.ceil(len(there) * self._pace[kind])))
            queue.clear()
            queue.extend(there)

    def give_up(self) -> bool:
        """Leave a hand that is stuck to itself, and have another one go on; False where it has come back meanwhile.

        What it was at, and what waits for the session in which it hangs, fails.
        """
        with self._changed:
            if not self.is_stuck:
                return False
            hung, at = self._hand, list(self._hand.works)
            sessions = {work.session for work in at}
            lost: list[Work] = at
            for queue in (self._drawings, self._photos):
                waiting: list[Any] = list(queue)
                queue.clear()
                queue.extend(work for work in waiting if work.session not in sessions)
                lost += [work for work in waiting if work.session in sessions and not work.left]
            fail(lost, StuckError())
            for work in lost:
                work.left = True
            self._lost.append(hung)
            self._lost_sessions.update(sessions)
            self._hand = self._another_hand()
            return True

    def drain(self) -> None:
        """Take no more work; what waits is still done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, seconds: float | None = None) -> bool:
        """Drain, and wait until all is done; returns whether it was, within these seconds."""
        self.drain()
        self._hand.join(seconds)
        return not self._hand.is_alive

    def next_for(self, hand: Hand) -> Sequence[Work]:
        """A drawing, or photos for a batch; nothing at the end, and for a hand that was given up."""
        with self._changed:
            while hand is self._hand:
                # Drawings are short and come first; but however many there are, photos have every other turn.
                queues: list[deque[Any]] = [self._drawings, self._photos]
                for queue in reversed(queues) if self._drew else queues:
                    if works := self._first(queue):
                        self._drew = queue is self._drawings
                        if not self._drew:
                            self._fill(works)
                        return works
                if self._closing:
                    break
                self._changed.wait()
            return ()

    def drawings_for(self, hand: Hand) -> Iterator[Drawing]:
        """The drawings that wait now, one by one; those that come meanwhile have to wait for the next step."""
        with self._changed:
            waiting = len(self._drawings)
        for _ in range(waiting):
            with self._changed:
                drawings = self._first(self._drawings) if hand is self._hand else []
            yield from drawings

    def keep_pace(self, hand: Hand, kind: type[Work], seconds: float) -> None:
        """So long took a photo or a drawing; what a hand hung in that was given up says nothing of the next ones."""
        if hand is self._hand:
            self._pace[kind] += 0.2 * (seconds - self._pace[kind])

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
