"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP: health, metadata, inference.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol; tensors may follow the JSON as raw
bytes, Triton's extension `binary_tensor_data`.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .... import __version__
from ...bundle.inversion import Inversion
from ..live.served import Served
from ..live.tensors import INPUTS, TensorSpec, inverting, output_specs, outputs_of, photo_of
from ..live.work import Inverting
from .errand import Asked, run_errand
from .refusals import RefusedError
from .requests import document_of, option_of, session_of
from .service import Service, service_of
from .tensors_v2 import HEADER, answered, tensors_of, wish_of

#: There is one version of a bundle at a time.
_VERSION = "1"
_FIELDS = ("id", "parameters", "inputs", "outputs")


async def server(request: Request) -> Response:
    """GET /v2: what this is."""
    return JSONResponse({"name": "hyperstyle-deploy", "version": __version__, "extensions": ["binary_tensor_data"]})


async def live(request: Request) -> Response:
    """GET /v2/health/live: the process answers, and no bundle hangs for good."""
    alive = service_of(request).is_alive
    return JSONResponse({"live": alive}, 200 if alive else 503)


async def ready(request: Request) -> Response:
    """GET /v2/health/ready and /v2/models/{model}/ready: all bundles, or this one, take requests."""
    service = service_of(request)
    if "model" in request.path_params:
        is_ready = not service.draining and not _model(service, request).worker.is_stuck
    else:
        is_ready = service.is_ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


async def model(request: Request) -> Response:
    """GET /v2/models/{model}: inputs, of which a request has one, and outputs."""
    served = _model(service_of(request), request)
    document = {"name": served.name, "versions": [_VERSION], "platform": "hyperstyle_deploy"}
    outputs = output_specs(served.session.manifest)
    return JSONResponse({**document, "inputs": _described(INPUTS), "outputs": _described(outputs)})


async def infer(request: Request) -> Response:
    """POST /v2/models/{model}/infer: a photo's inversion; `steps`, `until_gain` and `generator` are parameters."""
    service = service_of(request)
    served = _model(service, request)
    served.worker.check_room(Inverting)

    def prepare(content: bytes) -> Asked:
        length = option_of(request.headers.get(HEADER, str(len(content))), HEADER, 0, len(content))
        return _asked(service, served, content[:length], content[length:])

    return await run_errand(service, request, prepare)


def _model(service: Service, request: Request) -> Served:
    version = request.path_params.get("version", _VERSION)
    if version != _VERSION:
        raise RefusedError(404, "There is no such version", got=version[:40], expected=_VERSION)
    return service.bundle(request.path_params["model"])


def _described(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs]


def _asked(service: Service, served: Served, text: bytes, raw: bytes) -> Asked:
    document = document_of(text, _FIELDS)
    photo = photo_of(tensors_of(document, raw), service.settings.pixels)
    parameters = document.get("parameters")
    session = session_of(served, parameters.get("generator") if isinstance(parameters, dict) else None)

    wish = wish_of(document, [spec.name for spec in output_specs(session.manifest)])

    def encode(inversion: Inversion) -> Response:  # it keeps nothing of the document, which may be a whole photo
        return answered(served.name, _VERSION, wish, outputs_of(inversion))

    return Asked(served.worker, inverting(session, photo, parameters, service.settings.steps), encode)


ROUTES = [
    Route("/v2", server),
    Route("/v2/health/live", live),
    Route("/v2/health/ready", ready),
    *(
        Route(f"/v2/models/{{model}}{version}{path}", endpoint, methods=methods)
        for version in ("", "/versions/{version}")
        for path, endpoint, methods in (("", model, ["GET"]), ("/ready", ready, ["GET"]), ("/infer", infer, ["POST"]))
    ),
]
