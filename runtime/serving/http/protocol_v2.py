"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP: health, metadata, inference.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol; tensors may follow the JSON as raw
bytes, Triton's extension `binary_tensor_data`.
"""

from typing import Any

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .... import __version__
from ...bundle.inversion import Inversion
from ...images import decode_photo
from ..live.served import Served
from ..live.work import Inverting
from .answers import answer_to
from .refusals import RefusedError
from .requests import body_of, document_of, option_of
from .service import Service, service_of
from .tensors_v2 import HEADER, Tensor, answered, tensors_of

#: There is one version of a bundle at a time.
_VERSION = "1"
#: A photo as pixels, or as a file.
PIXELS, FILE = "pixels", "file"
_INPUTS = [
    {"name": FILE, "datatype": "BYTES", "shape": [1]},
    {"name": PIXELS, "datatype": "UINT8", "shape": [-1, -1, 3]},
]
_FIELDS = ("id", "parameters", "inputs", "outputs")


async def server(request: Request) -> Response:
    """GET /v2: what this is."""
    return JSONResponse({"name": "hyperstyle-deploy", "version": __version__, "extensions": ["binary_tensor_data"]})


async def live(request: Request) -> Response:
    """GET /v2/health/live: the process answers."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    """GET /v2/health/ready and /v2/models/{model}/ready: bundles are loaded, and requests are taken."""
    service = service_of(request)
    if "model" in request.path_params:
        _model(service, request)
    return JSONResponse({"ready": not service.draining}, 503 if service.draining else 200)


async def model(request: Request) -> Response:
    """GET /v2/models/{model}: inputs, of which a request has one, and outputs."""
    served = _model(service_of(request), request)
    manifest = served.session.manifest
    shape = [manifest.image.height, manifest.generator.size, 3]
    states = [
        {"name": spec.name, "datatype": "FP32", "shape": [-1 if isinstance(dim, str) else dim for dim in spec.shape]}
        for spec in manifest.state
    ]
    outputs = [{"name": "image", "datatype": "UINT8", "shape": shape}, *states]
    outputs += [
        {"name": "l2", "datatype": "FP64", "shape": [-1]},
        {"name": "inversion", "datatype": "UINT8", "shape": [-1]},
    ]
    document = {"name": served.name, "versions": [_VERSION], "platform": "hyperstyle_deploy"}
    return JSONResponse({**document, "inputs": _INPUTS, "outputs": outputs})


async def infer(request: Request) -> Response:
    """POST /v2/models/{model}/infer: a photo's inversion; `steps` and `until_gain` are parameters of the request."""
    service = service_of(request)
    served = _model(service, request)
    served.worker.check_room(Inverting)
    async with body_of(service, request) as content:
        length = option_of(request.headers.get(HEADER, str(len(content))), HEADER, 0, len(content))
        document, work = await service.in_thread(lambda: _asked(service, served, content[:length], content[length:]))
    inversion = await answer_to(service, request, served, work)
    return await service.in_thread(lambda: answered(served.name, _VERSION, document, _outputs(inversion)))


def _model(service: Service, request: Request) -> Served:
    version = request.path_params.get("version", _VERSION)
    if version != _VERSION:
        raise RefusedError(404, "There is no such version", got=version[:40], expected=_VERSION)
    return service.bundle(request.path_params["model"])


def _asked(service: Service, served: Served, text: bytes, raw: bytes) -> tuple[dict[str, Any], Inverting]:
    document = document_of(text, _FIELDS)
    photo = _photo(service, tensors_of(document, raw))
    return document, _work(service, served, photo, document.get("parameters"))


def _photo(service: Service, tensors: dict[str, Tensor]) -> Image.Image:
    if len(tensors) != 1 or not set(tensors) <= {PIXELS, FILE}:
        raise RefusedError(400, "The inputs are others", got=", ".join(tensors)[:200], expected=f"{FILE} or {PIXELS}")
    ((name, tensor),) = tensors.items()
    if name == FILE:
        if not isinstance(tensor, list) or len(tensor) != 1:
            raise RefusedError(400, f"{FILE} is no file", expected="BYTES [1]")
        return decode_photo(tensor[0], "the photo", service.settings.pixels)
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.uint8 or tensor.ndim != 3 or tensor.shape[2] != 3:
        raise RefusedError(400, f"{PIXELS} are no photo", expected="UINT8 [height, width, 3]")
    return Image.fromarray(tensor)


def _work(service: Service, served: Served, photo: Image.Image, parameters: Any) -> Inverting:
    asked = parameters if isinstance(parameters, dict) else {}
    steps, gain = asked.get("steps"), asked.get("until_gain")
    if steps is not None and not (type(steps) is int and 0 <= steps <= service.settings.steps):
        raise RefusedError(
            400, "steps is no number in range", got=str(steps)[:40], expected=f"0 to {service.settings.steps}"
        )
    if gain is not None and not (type(gain) in (int, float) and 0 <= gain < 1):
        raise RefusedError(400, "until_gain is out of range", got=str(gain)[:40], expected="0 or more, less than 1")
    session = served.session
    return Inverting(session, session.prepare([photo]), session.checked_steps(steps), gain)


def _outputs(inversion: Inversion) -> dict[str, Any]:
    assert inversion.image is not None
    return {
        "image": inversion.image,
        **inversion.arrays,
        "l2": np.asarray(inversion.l2, np.float64),
        "inversion": np.frombuffer(inversion.to_bytes(), np.uint8),
    }


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
