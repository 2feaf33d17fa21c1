"""Errors as answers: which status says what."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ....errors import HyperStyleDeployError, ServiceError
from ..live.work import CLIENT_ERRORS
from ..live.worker import ClosingError, FullError, StuckError

LOGGER = logging.getLogger(__name__)
#: Nobody is there to read it.
CLIENT_LEFT = 499
#: Seconds until a client of a service that ends, or that was too slow, should come again.
_LATER = 5


class RefusedError(ServiceError):
    """A request that is answered with an error's status."""

    def __init__(self, status: int, what: str, *, got: object = None, expected: object = None) -> None:
        super().__init__(what, got=got, expected=expected)
        self.status = status


class LeftError(ServiceError):
    """The client is gone."""


def refusal(status: int, message: str, kind: str, retry_after: int | None = None) -> JSONResponse:
    """An error's answer."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"error": message, "kind": kind}, status, headers)


def busy(message: str) -> JSONResponse:
    """The answer where nothing can be done now: 503, and when to come again. The connection is closed for others."""
    answer = refusal(503, message, "Service", _LATER)
    answer.headers["Connection"] = "close"
    return answer


def on_error(request: Request, error: Exception) -> Response:
    """The answer to one of the package's errors."""
    if isinstance(error, LeftError):
        return Response(status_code=CLIENT_LEFT)
    said = told(error, request.url.path)
    if isinstance(error, FullError):
        return refusal(429, *said, error.seconds)
    if isinstance(error, RefusedError):
        return refusal(error.status, *said, _LATER if error.status in (429, 503) else None)
    if isinstance(error, (ClosingError, StuckError)):
        return refusal(503, *said, _LATER)
    return refusal(400 if isinstance(error, CLIENT_ERRORS) else 500, *said)


def on_http_error(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    answer = refusal(error.status_code, error.detail, "Request")
    answer.headers.update(error.headers or {})
    return answer


def on_defect(request: Request, error: Exception) -> Response:
    """The answer to what should not have happened; the traceback is in the log."""
    return refusal(500, *told(error, request.url.path))


def told(error: Exception, place: str) -> tuple[str, str]:
    """What a client is told of an error, and its kind; of the service's own fault the log alone has more.

    Args:
        error: what went wrong.
        place: where, for the log.
    """
    known, kind = isinstance(error, HyperStyleDeployError), type(error).__name__.removesuffix("Error")
    if isinstance(error, (RefusedError, FullError, ClosingError, StuckError, *CLIENT_ERRORS)):
        return str(error), kind
    LOGGER.error("%s: %s", place, error if known else "failed", exc_info=None if known else error)
    return "The service failed. Its log says why.", kind if known else "Service"
