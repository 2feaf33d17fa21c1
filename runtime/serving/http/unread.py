"""What of a request's body nobody has read when it is answered: that of a refused photo, mostly."""

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

_CLOSE = (b"connection", b"close")


class Unread:
    """A request's body, and what becomes of the rest of it.

    On a connection that goes on the server passes over the rest by itself. Where the connection ends with the answer,
    it would be reset under a client that still sends, and most clients would see that instead of the answer: there the
    rest is read first, and thrown away. A client that waits to be told to go on (`Expect: 100-continue`, RFC 9110,
    10.1.1) sends none: its next request would be taken for the body, so its connection ends.

    Args:
        scope, receive: the request's.
        seconds: that may be spent on the rest.
    """

    def __init__(self, scope: Scope, receive: Receive, seconds: float) -> None:
        headers = Headers(scope=scope)
        self.seconds, self._receive = seconds, receive
        self._left = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._waits = headers.get("expect", "").lower() == "100-continue"
        self._closes = headers.get("connection", "").lower() == "close" or scope.get("http_version") == "1.0"

    async def receive(self) -> Message:
        """The next part of it; the server tells a client that waits to go on."""
        message = await self._receive()
        self._left, self._waits = message.get("more_body", False), False
        return message

    async def settle(self, start: Message) -> None:
        """Before an answer starts."""
        if not self._left or start["status"] == 408:  # who was too slow is not waited for again
            return
        if self._waits:
            start["headers"] = [*start["headers"], _CLOSE]
        elif self._closes or _CLOSE in start["headers"]:
            with anyio.move_on_after(self.seconds):
                while self._left:
                    await self.receive()
