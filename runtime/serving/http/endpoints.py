"""The endpoints for people and their programs: bundles, invert, jobs, edit, align; and what operators ask."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ...alignment import Aligned
from ...bundle.inversion import Inversion
from ...images import decode_photo
from ..live.served import Served
from ..live.work import Drawing, Inverting, Pictures
from ..live.worker import ClosingError
from .answers import FORMATS, encoded, error_event, events, inversion_document, text_of
from .bodies import of_body
from .errand import Asked, run_errand
from .films import film_of, kinds
from .refusals import RefusedError
from .requests import (
    aligned,
    asks_for_alignment,
    document_of,
    inversion_of,
    mixes_of,
    number,
    session_of,
    whole_number,
)
from .service import Service, service_of

_EDIT_FIELDS = ("bundle", "generator", "inversion", "edits", "mixes", "format", "film")
_EVENTS, _PNG = "text/event-stream", "image/png"


async def bundles(request: Request) -> Response:
    """GET /v1/bundles: what is served, and the directions of each; and what the page may offer."""
    service = service_of(request)
    return JSONResponse(
        {
            "bundles": [served.document() for served in service.bundles.values()],
            "finds_faces": service.finder is not None,
            "example": service.example is not None,
            "films": kinds(),
        }
    )


async def invert(request: Request) -> Response:
    """POST /v1/invert: a photo to its image and inversion; to events where the client accepts these, or to a PNG."""
    service = service_of(request)
    served, prepare = _inverting(service, request)
    accepted = request.headers.get("accept", "")
    if _EVENTS in accepted:
        work = await of_body(service, request, prepare)
        return _Events(events(service, served, work), work.leave)

    def encode(inversion: Inversion) -> Response:
        if _PNG in accepted:
            assert inversion.image is not None
            return Response(encoded(inversion.image), media_type=_PNG)
        return JSONResponse(inversion_document(served, inversion))

    return await run_errand(service, request, lambda content: Asked(served.worker, prepare(content), encode))


async def submit_job(request: Request) -> Response:
    """POST /v1/jobs: the same, but answered at once, with the job's name."""
    service = service_of(request)
    request.app.state.jobs.check_room()
    served, prepare = _inverting(service, request)
    work = await of_body(service, request, prepare)
    request.app.state.jobs.check_room()
    job = request.app.state.jobs.start(served.name, events(service, served, work))
    return JSONResponse(job.document(), 202, {"Location": f"/v1/jobs/{job.name}"})


async def job_state(request: Request) -> Response:
    """GET /v1/jobs/{job}: how far it is."""
    return JSONResponse(request.app.state.jobs.find(request.path_params["job"]).document())


async def job_events(request: Request) -> Response:
    """GET /v1/jobs/{job}/events: all its steps and its end, as they come."""
    return _Events(request.app.state.jobs.find(request.path_params["job"]).events())


async def cancel_job(request: Request) -> Response:
    """DELETE /v1/jobs/{job}: it is not gone on with."""
    return JSONResponse((await request.app.state.jobs.cancel(request.path_params["job"])).document())


async def edit(request: Request) -> Response:
    """POST /v1/edit: an inversion, and edits of it, to a picture each; or to a film of them."""
    service = service_of(request)
    return await run_errand(service, request, lambda content: _editing(service, document_of(content, _EDIT_FIELDS)))


async def align(request: Request) -> Response:
    """POST /v1/align: a photo to the face in it, as the model wants to see it, and where in the photo that was."""
    service = service_of(request)
    served = service.bundle(request.query_params.get("bundle"))

    def cut(content: bytes) -> Aligned:
        return aligned(service, served, request, _photo(service, content))

    face = await of_body(service, request, cut)
    picture = await service.timed("encoding", lambda: encoded(np.asarray(face.picture)))
    return JSONResponse({"bundle": served.name, "image": text_of(picture), "alignment": face.crop.to_json()})


async def metrics(request: Request) -> Response:
    """GET /metrics: in Prometheus' text format."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def example(request: Request) -> Response:
    """GET /page/example.png: the photo that the page offers, if there is one."""
    service = service_of(request)
    if service.example is None:
        raise RefusedError(404, "There is no example")
    return Response(service.example, media_type=_PNG)


def _inverting(service: Service, request: Request) -> tuple[Served, Callable[[bytes], Inverting]]:
    """Who inverts, and what makes the work of a body. A busy bundle is noticed before the photo is read."""
    served = service.bundle(request.query_params.get("bundle"))
    served.worker.check_room(Inverting)
    session = session_of(served, request.query_params.get("generator"))
    steps = whole_number(request, "steps", 0, service.settings.steps)
    steps = session.checked_steps(steps)
    gain = request.query_params.get("until_gain")
    until_gain = None if gain is None else number(gain, "until_gain")
    if until_gain is not None and not 0 <= until_gain < 1:
        raise RefusedError(400, "until_gain is out of range", got=gain, expected="0 or more, and less than 1")

    def prepare(content: bytes) -> Inverting:
        photo = _photo(service, content)
        seen = aligned(service, served, request, photo).picture if asks_for_alignment(request) else photo
        return Inverting(session, session.prepare([seen]), steps, until_gain)

    return served, prepare


def _photo(service: Service, content: bytes) -> Image.Image:
    return decode_photo(content, "the photo", service.settings.pixels)


def _editing(service: Service, document: Mapping[str, Any]) -> Asked:
    """What a request wants to have drawn, and how it is answered."""
    served = _named(service, document.get("bundle"))
    served.worker.check_room(Drawing)
    kind, film = _one_of(document, "format", list(FORMATS)) or "png", _one_of(document, "film", kinds())
    work = _drawing(service, served, document)

    def encode(pictures: Pictures) -> Response:
        if film is not None:
            return JSONResponse({"bundle": served.name, "film": text_of(film_of(pictures, film))})
        files = [text_of(encoded(picture, kind)) for picture in pictures]
        return JSONResponse({"bundle": served.name, "format": kind, "images": files})

    return Asked(served.worker, work, encode)


def _drawing(service: Service, served: Served, document: Mapping[str, Any]) -> Drawing:
    session = session_of(served, document.get("generator"))
    inversion, edits = inversion_of(session, document.get("inversion")), document.get("edits", [{}])
    if not isinstance(edits, list) or not 0 < len(edits) <= service.settings.edits:
        raise RefusedError(400, "edits are none", expected=f"a list of 1 to {service.settings.edits}")
    mixes = mixes_of(served, session, document.get("mixes", {}))
    return Drawing(session, inversion, [served.resolved(each, mixes) for each in edits])


def _one_of(document: Mapping[str, Any], name: str, known: list[str]) -> str | None:
    """A field that is one of these words; None where it is left out."""
    value = document.get(name)
    if value is not None and value not in known:
        raise RefusedError(400, f"There is no such {name}", got=str(value)[:40], expected=", ".join(known))
    return value


def _named(service: Service, name: object) -> Served:
    if name is not None and not isinstance(name, str):
        raise RefusedError(400, "bundle is no name", got=type(name).__name__)
    return service.bundle(name)


class _Events(StreamingResponse):
    """An answer of events; ``left`` is called however it ends: that may be before the first of them was asked for."""

    def __init__(self, content: AsyncIterator[bytes], left: Callable[[], None] = lambda: None) -> None:
        # Proxies that keep answers until they are whole would keep every step.
        super().__init__(content, media_type=_EVENTS, headers={"X-Accel-Buffering": "no"})
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:  # the service ends, and waits no longer
            await send({"type": "http.response.body", "body": error_event(ClosingError(), scope["path"])})
        finally:
            self._left()
