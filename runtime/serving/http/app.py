"""The application: which path is whose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from ....errors import HyperStyleDeployError
from ..page_files import PAGE, SHARED
from . import endpoints, protocol_v2
from .guard import Guard
from .jobs import Jobs
from .refusals import on_defect, on_error, on_http_error
from .service import Service

#: The page's files, and the module that asks this service; nothing else is read because of a request.
_FILES = {"/": PAGE / "index.html"} | {f"/page/{file.name}": file for file in (*SHARED, PAGE / "server" / "service.js")}


def application(service: Service) -> Guard:
    """The service as an ASGI application. At its end the service takes nothing more and finishes what it has."""
    routes: list[BaseRoute] = [
        Route("/v1/bundles", endpoints.bundles),
        Route("/v1/invert", endpoints.invert, methods=["POST"]),
        Route("/v1/jobs", endpoints.submit_job, methods=["POST"]),
        Route("/v1/jobs/{job}", endpoints.job_state),
        Route("/v1/jobs/{job}", endpoints.cancel_job, methods=["DELETE"]),
        Route("/v1/jobs/{job}/events", endpoints.job_events),
        Route("/v1/edit", endpoints.edit, methods=["POST"]),
        Route("/v1/align", endpoints.align, methods=["POST"]),
        Route("/metrics", endpoints.metrics),
        *protocol_v2.ROUTES,
    ]
    if service.settings.shows_page:
        routes += [Route(path, _file(file)) for path, file in _FILES.items()]
        routes.append(Route("/page/example.png", endpoints.example))
    handlers = {HyperStyleDeployError: on_error, HTTPException: on_http_error, Exception: on_defect}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan)
    app.state.service, app.state.jobs = service, Jobs(service.settings)
    return Guard(app, service)


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return FileResponse(path)

    return answer


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    service: Service = app.state.service
    watching = asyncio.create_task(service.watch())
    yield
    watching.cancel()
    await service.in_thread(service.close)
