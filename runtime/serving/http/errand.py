"""A request's way through the threads: read by the loop, prepared in the pool, done by the bundle's worker, encoded in
the pool, sent by the loop.

Each of them hands over to the next one, and the loop is woken for the answer alone: beside a short inversion, waking
threads is most of what a service costs.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ....errors import ServiceError
from ..live.work import CLIENT_ERRORS, Drawing, Inverting
from ..live.worker import Worker
from .bodies import using_body
from .refusals import LeftError, RefusedError
from .service import Service, tell


@dataclass(frozen=True)
class Asked:
    """What a request asks for: of which worker, what, and how its result becomes the answer."""

    worker: Worker
    work: Inverting | Drawing
    encode: Callable[[Any], Response]


async def run_errand(service: Service, request: Request, prepare: Callable[[bytes], Asked]) -> Response:
    """The answer to a request. If the client leaves, or the time is over, its work is not gone on with.

    Args:
        service: whose threads do it.
        request: its body is read here.
        prepare: what the body asks for; called in the pool.

    Raises:
        FullError, ClosingError, StuckError: the worker does not take it.
        RefusedError: 503, the time was over; or as ``using_body``.
        LeftError: the client left.
    """
    errand = _Errand(service)
    await using_body(service, request, lambda content: errand.begin(prepare, content))
    gone = asyncio.create_task(disconnected(request))
    gone.add_done_callback(lambda _: errand.settle(LeftError("The client left")))
    late = too_late(service.settings.deadline)
    timer = asyncio.get_running_loop().call_later(service.settings.deadline, errand.settle, late)
    try:
        return await errand.answer
    finally:
        errand.leave()
        gone.cancel()
        timer.cancel()


class _Errand:
    """The threads' side of it, and the loop's: an answer that comes once."""

    def __init__(self, service: Service) -> None:
        self._service, self._loop = service, asyncio.get_running_loop()
        self.answer: asyncio.Future[Response] = self._loop.create_future()
        self._work: Inverting | Drawing | None = None
        self._left = False

    def begin(self, prepare: Callable[[bytes], Asked], content: bytes) -> None:
        """In the pool: see what is asked for, and have the worker do it."""
        if self._left:
            return
        try:
            asked = prepare(content)
            self._work = asked.work
            if self._left:  # `leave` says so before it looks for the work: one of the two sees the other
                asked.work.leave()
            asked.work.future.add_done_callback(lambda done: self._encode(done, asked.encode))
            asked.worker.submit(asked.work)
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
            self._tell(error)

    def _encode(self, done: "Future[Any]", encode: Callable[[Any], Response]) -> None:
        """In the worker, which has better to do than to encode."""
        if done.cancelled():
            return
        if error := done.exception():
            self._tell(error)
            return
        encoded = self._service.beside("encoding", lambda: encode(done.result()))
        encoded.add_done_callback(self._tell_encoded)

    def _tell_encoded(self, encoded: "Future[Response]") -> None:
        error = encoded.exception()
        if isinstance(error, CLIENT_ERRORS):  # what it sent was right: it is what was made of it
            error = ServiceError(f"The result cannot be told: {error}")
        self._tell(error or encoded.result())

    def _tell(self, answer: "Response | BaseException") -> None:
        tell(self._loop, self.settle, answer)

    def settle(self, answer: "Response | BaseException") -> None:
        """In the loop: this is the answer, unless there is one."""
        if self.answer.done():
            return
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)

    def leave(self) -> None:
        """In the loop: nobody waits any more."""
        self._left = True
        if self._work is not None:
            self._work.leave()


async def disconnected(request: Request) -> None:
    """Wait until the client has left: after the body there is nothing else to receive."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def too_late(deadline: float) -> RefusedError:
    """The answer of a service that took longer than this, in seconds."""
    return RefusedError(503, "The service was too slow", expected=f"an answer within {deadline:g} s")
