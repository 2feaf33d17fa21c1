"""The Open Inference Protocol, version 2 (KServe's): health and metadata."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .... import __version__
from .service import service_of

_VERSION = "1"


async def server(request: Request) -> Response:
    """GET /v2: what this is."""
    return JSONResponse({"name": "hyperstyle-deploy", "version": __version__, "extensions": []})


async def live(request: Request) -> Response:
    """GET /v2/health/live: the process answers."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    """GET /v2/health/ready: bundles are loaded, and requests are taken."""
    draining = service_of(request).draining
    return JSONResponse({"ready": not draining}, 503 if draining else 200)


ROUTES = [
    Route("/v2", server),
    Route("/v2/health/live", live),
    Route("/v2/health/ready", ready),
]
