"""TensorRT and TensorRT-RTX: runs the engines that `build` put into a bundle. Both modules have one API."""

import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ...errors import BackendError
from ..device import Device, DeviceArray
from .device import StageRunner

#: What a context's scratch memory must be aligned to.
SCRATCH_ALIGNMENT = 256


class EngineRunner(StageRunner):
    """Runs engines on one device and stream.

    All contexts share one piece of scratch memory, since one stage runs at a time; it is as large as the largest needs
    and never moves, so recordings of any stage stay valid. There is a context for every set of input shapes: changing
    the shapes of one would spoil what was recorded with it.
    """

    recordable = True

    def __init__(self, name: str, module: ModuleType, engines: Mapping[str, bytes], device: Device) -> None:
        self.name, self._module, self._device = name, module, device
        self._log = Log(module)
        self._runtime = module.Runtime(self._log.adapter)
        self._engines = {stage: self._load(stage, content) for stage, content in engines.items()}
        self._contexts: dict[tuple[str, tuple[tuple[int, ...], ...]], Any] = {}
        size = max((engine.device_memory_size_v2 for engine in self._engines.values()), default=0)
        scratch = device.allocate((max(size, 1) + SCRATCH_ALIGNMENT,), "uint8")
        self._scratch, self._scratch_size = scratch, size
        self._scratch_pointer = -(-scratch.pointer // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT

    def run(self, stage: str, arrays: Mapping[str, DeviceArray]) -> None:
        context = self._context(stage, arrays)
        for name, array in arrays.items():
            if not context.set_tensor_address(name, array.pointer):
                raise self._failure(f"{self.name} cannot bind {name} of {stage}")
        if not context.execute_async_v3(self._device.stream):
            raise self._failure(f"{self.name} failed in {stage}")

    def _load(self, stage: str, content: bytes) -> Any:
        engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise self._failure(
                f"{self.name} cannot load the engine of {stage}",
                hint=f"Build it on this machine: hyperstyle-deploy build BUNDLE --target {self.name} --force",
            )
        return engine

    def _context(self, stage: str, arrays: Mapping[str, DeviceArray]) -> Any:
        if stage not in self._engines:
            raise BackendError(
                f"There is no engine of {stage}",
                got=", ".join(sorted(self._engines)),
                hint=f"Build it: hyperstyle-deploy build BUNDLE --target {self.name} --stages {stage}",
            )
        engine = self._engines[stage]
        inputs = [name for name in _tensors(engine) if engine.get_tensor_mode(name) == self._module.TensorIOMode.INPUT]
        key = stage, tuple(arrays[name].shape for name in inputs)
        if key not in self._contexts:
            self._contexts[key] = self._make_context(stage, engine, {name: arrays[name] for name in inputs})
        return self._contexts[key]

    def _make_context(self, stage: str, engine: Any, inputs: Mapping[str, DeviceArray]) -> Any:
        context = engine.create_execution_context(self._module.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._failure(f"{self.name} cannot make a context for {stage}")
        context.set_device_memory(self._scratch_pointer, self._scratch_size)
        for name, array in inputs.items():
            if not context.set_input_shape(name, array.shape):
                smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
                raise self._failure(
                    f"{name} is outside the shapes that {stage} was built for",
                    got=list(array.shape),
                    expected=f"{list(smallest)} to {list(largest)}",
                    hint=f"Build for it: hyperstyle-deploy build BUNDLE --target {self.name} --batch MIN:OPT:MAX",
                )
        return context

    def _failure(self, what: str, **details: Any) -> BackendError:
        if messages := self._log.take():
            details.setdefault("got", "; ".join(messages)[:400])
        return BackendError(what, **details)


class Log:
    """Keeps the errors that TensorRT logs, from any thread, so that they can be said where they matter."""

    def __init__(self, module: ModuleType) -> None:
        self._messages: list[str] = []
        self._lock = threading.Lock()
        severity, keep = module.ILogger.Severity, self._keep

        class Adapter(module.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                module.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    keep(message)

        self.adapter = Adapter()

    def take(self) -> list[str]:
        """The errors since the last call."""
        with self._lock:
            messages, self._messages = self._messages, []
        return messages

    def _keep(self, message: str) -> None:
        with self._lock:
            self._messages.append(message)


def _tensors(engine: Any) -> list[str]:
    return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
