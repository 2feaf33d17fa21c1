"""OpenVINO on the CPU."""

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino

from ...errors import BackendError
from ..bundle import Bundle
from .base import Array, GraphBackend

PRECISION_HINTS = ("f32", "bf16")


class OpenVinoBackend(GraphBackend):
    """Runs the graphs in OpenVINO, compiled for the batch they meet: fixed shapes let it fuse the modulation.

    ``precision_hint`` "bf16" lets it compute in bfloat16 where the processor can; "f32" is exact. Requests are kept one
    per thread, since a request is not safe to share.
    """

    name = "openvino"

    def __init__(self, bundle: Bundle, threads: int | None, precision_hint: str) -> None:
        super().__init__(bundle)
        if precision_hint not in PRECISION_HINTS:
            raise BackendError("Unknown precision hint", got=precision_hint, expected=" or ".join(PRECISION_HINTS))
        self._config = {
            "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision_hint,
        }
        self._core = openvino.Core()
        self._lock = threading.Lock()
        self._models: dict[str, Any] = {}
        self._compiled: dict[tuple[str, int], Any] = {}
        self._requests = threading.local()
        for stage in ("encoder", "hypernet", "weights", "synthesis"):
            self._compile(stage, 1)

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        free = self._free_input(stage)
        batch = inputs[free].shape[0] if free else 1
        request = self._request(stage, batch)
        try:
            request.infer({name: np.asarray(array, order="C") for name, array in inputs.items()}, share_inputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed in {stage}", got=str(error)[:400]) from error
        outputs = [request.get_output_tensor(index).data for index in range(len(request.model_outputs))]
        # The request's next run overwrites its buffers. Tuned weights may be (`Backend.tune`); the rest is copied.
        return outputs if stage == "weights" else [array.copy() for array in outputs]

    def _free_input(self, stage: str) -> str | None:
        tensors = self.bundle.manifest.graphs[stage].inputs
        return next((tensor.name for tensor in tensors if any(isinstance(dim, str) for dim in tensor.shape)), None)

    def _request(self, stage: str, batch: int) -> Any:
        requests = self._requests.__dict__.setdefault("by_shape", {})
        if (stage, batch) not in requests:
            requests[stage, batch] = self._compile(stage, batch).create_infer_request()
        return requests[stage, batch]

    def _compile(self, stage: str, batch: int) -> Any:
        with self._lock:
            if (stage, batch) not in self._compiled:
                try:
                    model = self._core.read_model(self.bundle.graph(stage))
                    free = {
                        tensor.name: [batch if isinstance(dim, str) else dim for dim in tensor.shape]
                        for tensor in self.bundle.manifest.graphs[stage].inputs
                    }
                    model.reshape(free)
                    self._compiled[stage, batch] = self._core.compile_model(model, "CPU", self._config)
                except RuntimeError as error:
                    raise BackendError(f"OpenVINO cannot load {stage}", got=str(error)[:400]) from error
            return self._compiled[stage, batch]
