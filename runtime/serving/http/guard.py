"""What stands before every request: whose it is, where it comes from; and what every answer says to browsers."""

import asyncio
import hmac
import logging
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ....errors import printable
from ..live.worker import ClosingError
from .refusals import busy, refusal
from .service import Service
from .settings import LOOPBACK
from .unread import Unread

LOGGER = logging.getLogger(__name__)
_ALIVE = "/v2/health/live"
#: Open to all: that the service is alive, and the page, which asks for the token itself.
_OPEN = ("/", _ALIVE, "/v2/health/ready")
_OPEN_FOLDER = "/page/"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Of every answer.
_HEADERS = Headers(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Content-Security-Policy": _POLICY,
    }
).raw


class Guard:
    """Refuses requests of other web pages and those without the token, and counts answers."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started, unread = False, Unread(scope, receive, self._service.settings.head_seconds)

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await unread.settle(message)
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)
            if message["type"] == "http.response.start":
                self._service.metrics.answered(_endpoint(scope), message["status"])
                LOGGER.info("%s %s: %d", scope["method"], printable(scope["path"]), message["status"])

        answer = self._refused(scope["path"], Headers(scope=scope))
        try:
            await (answer or self._app)(scope, unread.receive, counted)
        except asyncio.CancelledError:
            # The server's time for the end is over. It would call that a defect of the service, and say so.
            if not started:
                unread.seconds = 0.0
                await busy(str(ClosingError()))(scope, receive, counted)
        except Exception:
            # Starlette raises what `on_defect` has logged and answered. The server would log it again, and close the
            # connection under a client that may keep it.
            if not started:
                raise

    def _refused(self, path: str, headers: Headers) -> Response | None:
        settings, host = self._service.settings, headers.get("host", "")
        # Whoever asks whether the process is alive would end it otherwise, when there is most to do.
        if self._service.connections > settings.connections and path != _ALIVE:
            return busy(f"There are {settings.connections} connections already.")
        # A page of another site whose name was pointed at this machine: its requests come with that name.
        if settings.on_loopback and _split(f"//{host}").hostname not in LOOPBACK:
            return refusal(403, f"This service is for {', '.join(LOOPBACK)} alone.", "Request")
        # Browsers say which page asks.
        if "origin" in headers and _split(headers["origin"]).netloc != host:
            return refusal(403, "Pages of other sites may not use this service.", "Request")
        if settings.token is None or path in _OPEN or path.startswith(_OPEN_FOLDER):
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), settings.token.encode()):
            return None
        answer = refusal(401, "This service wants its token: Authorization: Bearer TOKEN.", "Token")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer


def _split(address: str) -> SplitResult:
    """The parts of an address; none of what is no address."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _endpoint(scope: Scope) -> str:
    """The route's pattern; never what a client wrote, of which there is no end."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))
