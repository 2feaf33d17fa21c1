"""Requests' bodies: read within their bounds, and used beside the loop."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future

import anyio
from starlette.requests import ClientDisconnect, Request

from .refusals import LeftError, RefusedError
from .service import Result, Service, tell


async def using_body(service: Service, request: Request, use: Callable[[bytes], Result]) -> "Future[Result]":
    """Read a request's body, and have it used beside the loop; the loop need not wait for that.

    Photos are large: no more of them are read or used at once than settings say.

    Raises:
        RefusedError: 429 too many bodies are being read, 413 it is too large, 408 it comes too slowly, 400 it is empty.
        LeftError: the client left.
    """
    loop, bodies = asyncio.get_running_loop(), service.bodies
    await _room(service)
    try:
        content = await _body(service, request)
        used = service.beside("preparing", lambda: use(content))
    except BaseException:
        bodies.release()
        raise
    used.add_done_callback(lambda _: tell(loop, bodies.release))
    return used


async def of_body(service: Service, request: Request, use: Callable[[bytes], Result]) -> Result:
    """What a function makes of a request's body.

    Raises:
        RefusedError, LeftError: as ``using_body``; and whatever the function raises.
    """
    return await asyncio.wrap_future(await using_body(service, request, use))


async def _room(service: Service) -> None:
    try:
        with anyio.fail_after(service.settings.body_seconds):
            await service.bodies.acquire()
    except TimeoutError as error:
        raise RefusedError(429, "The service is busy", got=f"{service.settings.bodies} photos on their way") from error


async def _body(service: Service, request: Request) -> bytes:
    settings, started = service.settings, time.monotonic()
    try:
        with anyio.fail_after(settings.body_seconds):
            content = await _read(request, settings.body_bytes)
    except TimeoutError as error:
        expected = f"all of it within {settings.body_seconds:g} s"
        raise RefusedError(408, "The request's body comes too slowly", expected=expected) from error
    except ClientDisconnect as error:
        raise LeftError("The client left") from error
    service.metrics.spent("reading", time.monotonic() - started)
    if not content:
        raise RefusedError(400, "The request has no body")
    return content


async def _read(request: Request, most: int) -> bytes:
    announced = request.headers.get("content-length", "")
    parts, size = [], int(announced) if announced.isdecimal() and len(announced) < 16 else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > most:
                break
    if size > most:
        raise RefusedError(413, "The request's body is too large", got=f"{size} bytes", expected=f"at most {most}")
    return b"".join(parts)
