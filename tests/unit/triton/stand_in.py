"""What Triton's module `triton_python_backend_utils` has, as far as our model uses it, for requests without a server.

Shaped as the interface of Triton 2.51, in which test_server.py runs the same model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class TritonError(Exception):
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        super().__init__(message)
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, array: np.ndarray) -> None:
        assert isinstance(array, np.ndarray)
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor], error: TritonError | None = None) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


@dataclass
class InferenceRequest:
    tensors: Sequence[Tensor]
    outputs: Sequence[str]
    asked: dict[str, Any] = field(default_factory=dict)
    #: How often the model may look before the request is cancelled.
    looks: float = np.inf

    def inputs(self) -> Sequence[Tensor]:
        return self.tensors

    def requested_output_names(self) -> Sequence[str]:
        return self.outputs

    def parameters(self) -> str:
        return json.dumps(self.asked) if self.asked else ""

    def is_cancelled(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)
