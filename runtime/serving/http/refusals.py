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
    kind = type(error).__name__.removesuffix("Error")
    if isinstance(error, LeftError):
        return Response(status_code=CLIENT_LEFT)
    if isinstance(error, FullError):
        return refusal(429, str(error), kind, error.seconds)
    if isinstance(error, RefusedError):
        return refusal(error.status, str(error), kind, _LATER if error.status in (429, 503) else None)
    if isinstance(error, (ClosingError, StuckError)):
        return refusal(503, str(error), kind, _LATER)
    if isinstance(error, CLIENT_ERRORS):
        return refusal(400, str(error), kind)
    assert isinstance(error, HyperStyleDeployError)
    LOGGER.error("%s: %s", request.url.path, error)
    return refusal(500, "The service failed. Its log says why.", kind)


def on_http_error(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, "Request")


def on_defect(request: Request, error: Exception) -> Response:
    """The answer to what should not have happened; the traceback is in the log."""
    LOGGER.error("%s failed", request.url.path, exc_info=error)
    return refusal(500, "The service failed. Its log says why.", "Service")
