"""TensorRT and TensorRT-RTX: runs the engines that `build` put into a bundle. Both modules have one API."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from ...errors import BackendError
from ..bundle.files import atomic_file
from ..bundle.reader import Bundle
from .device import GraphRunner, loop_graphs
from .engine_nodes import EngineNodes
from .engines.loading import Machine, check_shape, load_engine
from .engines.logger import logger
from .engines.record import MODULES, Engine, read_record
from .engines.trust import runtime_cache
from .memory import Device, DeviceArray
from .node_runs import NodeRun

#: What a context's scratch memory must be aligned to.
SCRATCH_ALIGNMENT = 256


def open_engines(
    target: str, bundle: Bundle, device: Device, trust_engines: bool, nodes: bool = False
) -> "EngineRunner":
    """Check and load a bundle's engines for ``target``, "tensorrt" or "tensorrt-rtx".

    Raises:
        EngineError: an engine is missing, foreign, damaged, or built for something else.
        BackendError: the library refuses an engine.
    """
    module = import_module(MODULES[target])
    machine = Machine(target, module.__version__, device.gpu)
    built = read_record(bundle.path, target).engines
    # `synthesis`, for several codes at once, is loaded if it was built, and what takes styles: the loop can do without.
    on_request = (bundle.method.syntheses[0], *bundle.method.optional())
    stages = [*loop_graphs(bundle.method), *(stage for stage in on_request if stage in built)]
    engines = {stage: load_engine(bundle, machine, stage, trust_engines=trust_engines) for stage in stages}
    return EngineRunner(bundle, module, engines, device, nodes)


class EngineRunner(GraphRunner):
    """Runs engines on one device and stream.

    All contexts share one piece of scratch memory, since one stage runs at a time; it is as large as the largest needs
    and never moves, so recordings of any stage stay valid. There is a context for every set of input shapes: changing
    the shapes of one would spoil what was recorded with it.
    """

    recordable = True

    def __init__(
        self,
        bundle: Bundle,
        module: ModuleType,
        engines: Mapping[str, tuple[Engine, bytes]],
        device: Device,
        nodes: bool = False,
    ) -> None:
        self._bundle, self._module, self._device = bundle, module, device
        self._entries = {stage: entry for stage, (entry, _) in engines.items()}
        self.name = next(iter(self._entries.values())).recipe.target
        self._errors = Errors()
        self._nodes = EngineNodes(module) if nodes else None
        self._runtime = module.Runtime(logger(module, self._errors))
        self._engines = {stage: self._load(stage, content) for stage, (_, content) in engines.items()}
        self._contexts: dict[tuple[str, tuple[tuple[int, ...], ...]], Any] = {}
        self._scratch_bytes = max(engine.device_memory_size_v2 for engine in self._engines.values())
        self._scratch = device.allocate((self._scratch_bytes + SCRATCH_ALIGNMENT,), "uint8")

    def run(self, stage: str, arrays: Mapping[str, DeviceArray]) -> None:
        context = self._context(stage, arrays)
        if self._nodes is not None:
            self._nodes.start(stage)
        for name, array in arrays.items():
            if not context.set_tensor_address(name, array.pointer):
                raise self._failure(f"{self.name} cannot bind {name} of {stage}")
        if not context.execute_async_v3(self._device.stream):
            raise self._failure(f"{self.name} failed in {stage}")

    def node_runs(self) -> list[NodeRun]:
        if self._nodes is None:
            raise BackendError(f"{self.name} was not asked to note the times of nodes")
        return self._nodes.take()

    def _load(self, stage: str, content: bytes) -> Any:
        # A version-compatible engine brings its own runtime, that is, host code; it was checked or is trusted.
        self._runtime.engine_host_code_allowed = self._entries[stage].recipe.flags.version_compatible
        engine = self._runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise self._failure(
                f"{self.name} cannot load the engine of {stage}",
                hint=f"Build it anew on this machine: hyperstyle-deploy build {self._bundle.path} --target {self.name}"
                f" --stages {stage} --force",
            )
        return engine

    def _context(self, stage: str, arrays: Mapping[str, DeviceArray]) -> Any:
        if stage not in self._engines:
            raise BackendError(
                f"{self._bundle.path} has no {self.name} engine of {stage}",
                got=", ".join(self._engines),
                hint=f"Build it: hyperstyle-deploy build {self._bundle.path} --target {self.name} --stages {stage}",
            )
        inputs = [tensor.name for tensor in self._bundle.manifest.graphs[stage].inputs]
        key = stage, tuple(arrays[name].shape for name in inputs)
        if key not in self._contexts:
            self._contexts[key] = self._make_context(stage, {name: arrays[name].shape for name in inputs})
        return self._contexts[key]

    def _make_context(self, stage: str, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        for name, shape in shapes.items():
            check_shape(self._entries[stage], self._bundle.path, name, shape)
        config = self._engines[stage].create_runtime_config()
        config.set_execution_context_allocation_strategy(self._module.ExecutionContextAllocationStrategy.USER_MANAGED)
        cache = RuntimeCache(self._module, config, self._entries[stage], self._device)
        context = self._engines[stage].create_execution_context(config)
        if context is None:
            raise self._failure(f"{self.name} cannot make a context for {stage}")
        start = -(-self._scratch.pointer // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT
        context.set_device_memory(start, self._scratch_bytes)
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise self._failure(f"{self.name} cannot run {stage} with {name} of shape {list(shape)}")
        cache.save()
        if self._nodes is not None:
            self._nodes.attach(stage, self._engines[stage], context)
        return context

    def _failure(self, what: str, hint: str | None = None) -> BackendError:
        return BackendError(what, got="; ".join(self._errors.take())[:400] or "no message", hint=hint)


class RuntimeCache:
    """The kernels that TensorRT-RTX makes for a GPU when a context is made; kept in the user's cache folder.

    TensorRT's engines hold their kernels, so for them this does nothing. A cache that cannot be read or written costs
    time, and nothing else.
    """

    def __init__(self, module: ModuleType, config: Any, entry: Engine, device: Device) -> None:
        self._cache = None
        if entry.recipe.target != "tensorrt-rtx":
            return
        # Kernels for the shapes at hand are made at once, not in the background: a recording must not catch that.
        config.dynamic_shapes_kernel_specialization_strategy = module.DynamicShapesKernelSpecializationStrategy.EAGER
        self._cache, self._path = config.create_runtime_cache(), runtime_cache(entry, device.gpu.compute_capability)
        self._known = False
        with suppress(OSError):
            self._known = self._cache.deserialize(self._path.read_bytes())
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Keep what was made, unless it was there already."""
        if self._cache is None or self._known:
            return
        with suppress(OSError, BackendError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with atomic_file(self._path) as partial:
                partial.write_bytes(bytes(self._cache.serialize()))


class Errors:
    """What TensorRT says of errors, from any thread, so that they can be told where they matter."""

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._lock = threading.Lock()

    def add(self, severity: str, text: str) -> None:
        """Keep an error; sessions of one process hear each other's."""
        if severity in ("ERROR", "INTERNAL_ERROR"):
            with self._lock:
                self._messages.append(text)

    def take(self) -> list[str]:
        """The errors since the last call."""
        with self._lock:
            messages, self._messages = self._messages, []
        return messages
