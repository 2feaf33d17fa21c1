"""The server: the application on a socket, and what signals do."""

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ....errors import ServiceError
from .app import application
from .service import Service

LOGGER = logging.getLogger(__name__)
_BACKLOG = 512
#: Of the request's first lines.
_HEAD_BYTES = 16 << 10


def serve(service: Service, started: Callable[[str], None]) -> bool:
    """Serve until a signal ends it. SIGTERM and SIGINT finish what was taken, SIGHUP loads the bundles again.

    Returns whether all that was taken was finished; threads may still run where it was not.

    Args:
        service: what to serve.
        started: called with the service's address once it is reached there.

    Raises:
        ServiceError: it cannot listen where it should.
    """
    settings = service.settings
    listening = _listening(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        _Server(configured(service), service, lambda: started(address)).run(sockets=[listening])
    except KeyboardInterrupt:
        # uvicorn gives the signal back when all is done.
        LOGGER.info("the service has ended")
    finally:
        listening.close()
    return service.is_finished


def configured(service: Service) -> uvicorn.Config:
    """How the server runs."""
    settings = service.settings
    return uvicorn.Config(
        application(service),
        http=partial(Connection, service=service),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=math.ceil(settings.head_seconds),
        timeout_graceful_shutdown=max(1, round(settings.drain)),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


class Connection(H11Protocol):
    """A connection that is closed where a request's head does not come, or its answer is not taken: uvicorn would wait.

    The service knows how many there are.
    """

    def __init__(self, *arguments: Any, service: Service, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._service, self._seconds = service, service.settings.head_seconds
        #: The request after which nothing had come at the last look; the connection itself for none.
        self._idle_after: object = self
        #: Bytes of the answer that had not been taken at the last look.
        self._untaken = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._service.connections += 1
        # asyncio does it only where a socket names its protocol. Without it an answer's second part waits 40 ms for the
        # client to acknowledge its first.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timer = self.loop.call_later(self._seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._service.connections -= 1
        super().connection_lost(exc)

    def _look(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is self._idle_after:
            self.transport.close()
            return
        untaken = self.transport.get_write_buffer_size()
        if untaken and untaken == self._untaken:
            self.transport.abort()
            return
        self._idle_after, self._untaken = self.cycle if idle else self, untaken
        self._timer = self.loop.call_later(self._seconds, self._look)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._announce = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)

    def _reload(self) -> None:
        self._reloading = asyncio.ensure_future(self._service.in_thread(self._service.reload))


def _listening(host: str, port: int) -> socket.socket:
    try:
        (family, _, _, _, place), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Choose another --port, or end what listens there."
        raise ServiceError(f"Cannot listen on {host}, port {port}", got=reason, hint=hint) from error
