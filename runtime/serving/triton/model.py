"""What Triton's Python backend runs: a session an instance, and its batches of requests.

The interface is that of `triton_python_backend_utils` (https://github.com/triton-inference-server/python_backend),
which is there in Triton's own processes alone.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ....errors import ArrayError, HyperStyleDeployError
from ...images import MAX_PIXELS
from ...session import Session, load
from ..live.tensors import FILE, INPUTS, MOST_STEPS, PIXELS, Tensor, inverting, outputs_of, photo_of
from ..live.work import CLIENT_ERRORS, Inverting, fail, invert_together
from .repository import BUNDLE

LOGGER = logging.getLogger(__name__)
#: What a request asks for, a piece of work a photo; or why that is nothing.
_Asked: TypeAlias = "list[Inverting] | HyperStyleDeployError"


class TritonPythonModel:
    """The model, by the name that Triton looks for."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the bundle, which lies beside `model.py`.

        Args:
            args: Triton's: the configuration as JSON, the model's folder and version, the instance's kind and device.

        Raises:
            BundleError, BackendError, ArrayError: it cannot be loaded; Triton tells of it.
        """
        import triton_python_backend_utils

        self._triton = triton_python_backend_utils
        told = json.loads(args["model_config"]).get("parameters", {})
        parameters = {name: value["string_value"] for name, value in told.items()}
        folder = Path(args["model_repository"]) / args["model_version"] / BUNDLE
        device = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        self._session: Session = load(folder, **_loading(parameters), device=device)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response a request, in order. Photos with equal parameters go through the networks together.

        What a request has wrong, and a request that is cancelled, costs no other its answer.
        """
        asked = [self._asked(request) for request in requests]
        groups: dict[Any, list[tuple[Any, Inverting]]] = {}
        for request, works in zip(requests, asked, strict=True):
            for work in works if isinstance(works, list) else ():
                groups.setdefault(work.key, []).append((request, work))
        for group in groups.values():
            _run(group)
        return [self._response(request, works) for request, works in zip(requests, asked, strict=True)]

    def finalize(self) -> None:
        """Give the session back."""
        del self._session

    def _asked(self, request: Any) -> _Asked:
        try:
            parameters = json.loads(request.parameters() or "{}")
            photos = [photo_of(tensors, MAX_PIXELS) for tensors in self._photos(request)]
            return [inverting(self._session, photo, parameters, MOST_STEPS) for photo in photos]
        except HyperStyleDeployError as error:
            return error

    def _photos(self, request: Any) -> list[dict[str, Tensor]]:
        """A request's inputs, photo by photo: without the axis of the batch."""
        found = {spec.name: self._triton.get_input_tensor_by_name(request, spec.name) for spec in INPUTS}
        given = {name: tensor.as_numpy() for name, tensor in found.items() if tensor is not None}
        if len(given) != 1:
            raise ArrayError("The inputs are others", got=", ".join(given) or "none", expected=f"{FILE} or {PIXELS}")
        ((name, batch),) = given.items()
        return [{name: photo if name == PIXELS else list(photo)} for photo in batch]

    def _response(self, request: Any, works: _Asked) -> Any:
        try:
            if not isinstance(works, list):
                raise works
            results = [outputs_of(work.future.result(timeout=0)) for work in works]
            tensors = [
                self._triton.Tensor(name, _together(name, [result[name] for result in results]))
                for name in request.requested_output_names()
            ]
        except CancelledError:
            return self._failed("The request was cancelled.", self._triton.TritonError.CANCELLED)
        except CLIENT_ERRORS as error:
            return self._failed(str(error), self._triton.TritonError.INVALID_ARG)
        except HyperStyleDeployError as error:
            LOGGER.error("a request failed: %s", error)
            return self._failed("The model failed. Triton's log says why.", self._triton.TritonError.INTERNAL)
        return self._triton.InferenceResponse(output_tensors=tensors)

    def _failed(self, message: str, code: int) -> Any:
        return self._triton.InferenceResponse(output_tensors=[], error=self._triton.TritonError(message, code))


def _loading(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of ``load`` out of the configuration's texts."""
    found: dict[str, Any] = dict(parameters)
    if "threads" in found:
        found["threads"] = int(found["threads"])
    if "trust_engines" in found:
        found["trust_engines"] = found["trust_engines"] == str(True)
    return found


def _run(group: Sequence[tuple[Any, Inverting]]) -> None:
    """Invert photos of one key together; those of cancelled requests are not gone on with after the step that runs."""
    _leave_cancelled(group)
    works = [work for _, work in group if not work.left]
    if not works:
        return
    try:
        for _ in invert_together(works):
            _leave_cancelled(group)
    except Exception as error:  # noqa: BLE001 (whatever it is, the others' requests are answered)
        fail(works, error)


def _leave_cancelled(group: Sequence[tuple[Any, Inverting]]) -> None:
    for request, work in group:
        if not work.future.done() and request.is_cancelled():
            work.leave()


def _together(name: str, arrays: Sequence[Any]) -> Any:
    """A request's photos in one tensor, the batch first.

    Raises:
        ArrayError: they have different shapes, as the L2 has of photos that stopped after different steps.
    """
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        got = f"shapes {', '.join(map(str, sorted(shapes)))}"
        expected = "one photo a request where until_gain stops them"
        raise ArrayError(f"{name} differs from photo to photo of a request", got=got, expected=expected)
    return np.stack(arrays)
