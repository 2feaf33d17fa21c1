"""A model's `config.pbtxt`: what Triton has to know of a bundle, in protobuf's text format.

The fields are those of `model_config.proto` of Triton's repository `common`. Triton puts the batch before every shape.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import ArrayError, BackendError
from ...backends import AUTO, BACKENDS
from ...manifest.manifest import Manifest
from ..live.tensors import INPUTS, PIXELS, TensorSpec, output_specs
from ..live.worker import Queueing

#: Who runs a model, and what Triton calls its backend: Python's runtime, or the C++ library.
BACKEND_NAMES = {"python": "python", "cpp": "hyperstyle"}
#: What the C++ library takes where nothing is said: it has no other backend on a CPU.
_CPP_ON_CPU = "onnxruntime"
_TYPES = {"BYTES": "TYPE_STRING"}


@dataclass(frozen=True)
class Model:
    """How a bundle is to run in Triton.

    Attributes:
        name: what requests call it.
        backend: "python" or "cpp".
        loading: arguments of ``load``, the backend that runs the graphs among them; those that are None are left out.
        queueing: how many photos may wait and run together; the wait is in seconds. A batch of None is 1 on a CPU, 4 on
            a GPU.
        deadline: seconds after which a photo that still waits is refused.
        instances: sessions, each of which runs a batch at a time.

    Raises:
        BackendError: the backend is unknown, or the C++ library has none of that name; an option for GPUs, on a CPU.
        ArrayError: an option that is not there in the C++ library.
    """

    name: str
    backend: str = "python"
    loading: Mapping[str, Any] = field(default_factory=dict)
    waiting: int = Queueing.waiting
    batch: int | None = None
    batch_wait: float = 0.0
    deadline: float = 120.0
    instances: int = 1

    def __post_init__(self) -> None:
        known = [AUTO, *BACKENDS]
        if self.backend == "cpp":
            known.remove("openvino")
            if self.loading.get("precision_hint"):
                raise ArrayError("The C++ library takes no precision hint", got=self.loading["precision_hint"])
        if self.runs_on not in known:
            raise BackendError("Unknown backend", got=self.runs_on[:80], expected=", ".join(known))
        if not self.on_gpu and (self.loading.get("device") is not None or self.loading.get("trust_engines")):
            hint = "Leave it out, or name a GPU's backend with --runtime."
            raise BackendError(f"{self.runs_on} runs on the CPU", got="an option for GPUs", hint=hint)

    @property
    def runs_on(self) -> str:
        """Name of the backend that runs the graphs."""
        named: str = self.loading.get("backend") or AUTO
        return _CPP_ON_CPU if named == AUTO and self.backend == "cpp" else named

    @property
    def on_gpu(self) -> bool:
        """Whether that backend is a GPU's."""
        return self.runs_on != AUTO and BACKENDS[self.runs_on].gpu

    @property
    def photos(self) -> int:
        """Photos of a batch: a CPU has no more to give to several than to one."""
        return self.batch or (Queueing.batch if self.on_gpu else 1)

    def parameters(self) -> dict[str, str]:
        """What the model is told of its loading; the device is the instance's."""
        told = {**self.loading, "backend": self.runs_on}
        told.pop("device", None)
        return {name: str(value) for name, value in told.items() if value not in (None, False)}


class Word(str):
    """A name of an enumeration, which stands without quotes."""


def config_of(manifest: Manifest, model: Model) -> str:
    """The text of a model's `config.pbtxt`."""
    document = {
        "name": model.name,
        "backend": BACKEND_NAMES[model.backend],
        "max_batch_size": model.photos,
        "input": [_input(spec) for spec in INPUTS],
        "output": [_tensor(spec) for spec in output_specs(manifest)],
        "instance_group": [_instances(model)],
        "dynamic_batching": {
            "max_queue_delay_microseconds": round(model.batch_wait * 1e6),
            "default_queue_policy": {
                "timeout_action": Word("REJECT"),
                "default_timeout_microseconds": round(model.deadline * 1e6),
                "max_queue_size": model.waiting,
            },
        },
        "parameters": [
            {"key": name, "value": {"string_value": value}} for name, value in sorted(model.parameters().items())
        ],
        "model_warmup": [_warmup(manifest)],
    }
    return "\n".join(_lines(document)) + "\n"


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    kind = Word(_TYPES.get(spec.datatype, f"TYPE_{spec.datatype}"))
    return {"name": spec.name, "data_type": kind, "dims": list(spec.shape)}


def _input(spec: TensorSpec) -> dict[str, Any]:
    # Ragged: photos of several sizes may make one batch. Optional: a request has the pixels or the file.
    return {**_tensor(spec), "allow_ragged_batch": True, "optional": True}


def _instances(model: Model) -> dict[str, Any]:
    group: dict[str, Any] = {"count": model.instances, "kind": Word("KIND_GPU" if model.on_gpu else "KIND_CPU")}
    if model.on_gpu and model.loading.get("device") is not None:
        group["gpus"] = [model.loading["device"]]
    return group


def _warmup(manifest: Manifest) -> dict[str, Any]:
    """A grey photo: a backend's first inversion takes longer than those after it."""
    dims = [manifest.image.input_height, manifest.image.input_width, 3]
    photo = {"data_type": Word("TYPE_UINT8"), "dims": dims, "zero_data": True}
    return {"name": "a photo", "batch_size": 1, "inputs": [{"key": PIXELS, "value": photo}]}


def _lines(message: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A message's fields in protobuf's text format; a list of messages is a field that is repeated."""
    for name, value in message.items():
        messages = value if isinstance(value, list) and value and isinstance(value[0], Mapping) else [value]
        for each in messages:
            if isinstance(each, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(each, indent + "  ")
                yield f"{indent}}}"
            elif each != []:
                yield f"{indent}{name}: {each if isinstance(each, Word) else json.dumps(each)}"
