"""The server: the application on a socket, and what signals do."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from ....errors import ServiceError
from .app import application
from .service import Service

LOGGER = logging.getLogger(__name__)
_BACKLOG = 512
#: Of the request's first lines.
_HEAD_BYTES = 16 << 10


def serve(service: Service, started: Callable[[str], None]) -> None:
    """Serve until a signal ends it. SIGTERM and SIGINT finish what was taken, SIGHUP loads the bundles again.

    Args:
        service: what to serve.
        started: called with the service's address once it is reached there.

    Raises:
        ServiceError: it cannot listen where it should.
    """
    settings = service.settings
    listening = _listening(settings.host, settings.port)
    config = uvicorn.Config(
        application(service),
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=max(1, round(settings.drain)),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        _Server(config, service, lambda: started(address)).run(sockets=[listening])
    except KeyboardInterrupt:
        # uvicorn gives the signal back when all is done.
        LOGGER.info("the service has ended")
    finally:
        listening.close()


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
