"""The TensorRT backend against a module that answers as TensorRT does: what is bound, shared, refused and said."""

import json
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError, EngineError
from hyperstyle_deploy.runtime.backends.engines.record import Engine, Flags, Profile, Recipe
from hyperstyle_deploy.runtime.backends.memory import DeviceArray
from hyperstyle_deploy.runtime.backends.tensorrt import SCRATCH_ALIGNMENT, EngineRunner, open_engines
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.tests.unit.runtime.fake_device import FakeDevice, view

#: Everything that the backend touches, by the class that must have it.
API = {
    "": (
        "Runtime",
        "ILogger",
        "IProfiler",
        "LayerInformationFormat",
        "ExecutionContextAllocationStrategy",
        "__version__",
    ),
    "ILogger.Severity": ("ERROR", "INTERNAL_ERROR"),
    "ExecutionContextAllocationStrategy": ("USER_MANAGED",),
    "Runtime": ("deserialize_cuda_engine", "engine_host_code_allowed"),
    "ICudaEngine": (
        *("create_runtime_config", "create_execution_context", "device_memory_size_v2"),
        *("create_engine_inspector", "num_layers"),
    ),
    "EngineInspector": ("get_layer_information",),
    "IProfiler": ("report_layer_time",),
    "LayerInformationFormat": ("JSON",),
    "IRuntimeConfig": ("set_execution_context_allocation_strategy",),
    "IExecutionContext": ("set_device_memory", "set_input_shape", "set_tensor_address", "execute_async_v3", "profiler"),
}
#: What TensorRT-RTX has besides.
RTX_API = {
    "DynamicShapesKernelSpecializationStrategy": ("EAGER",),
    "IRuntimeConfig": ("dynamic_shapes_kernel_specialization_strategy", "create_runtime_cache", "set_runtime_cache"),
    "IRuntimeCache": ("serialize", "deserialize"),
}


@pytest.mark.parametrize("api", [API, RTX_API], ids=["both", "RTX alone"])
def test_the_real_module_has_all_that_is_used(api: dict[str, tuple[str, ...]]) -> None:
    module = pytest.importorskip("tensorrt_rtx")
    for path, names in api.items():
        owner = module
        for part in filter(None, path.split(".")):
            owner = getattr(owner, part)
        assert [name for name in names if not hasattr(owner, name)] == [], path


class FakeContext:
    profiler: Any = None

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.runs: list[int] = []
        self.good = True

    def set_device_memory(self, memory: int, size: int) -> None:
        self.scratch = memory, size

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.runs.append(stream)
        if self.profiler is not None:
            for name, milliseconds in (("stem", 2.0), ("fused", 0.5)):
                self.profiler.report_layer_time(name, milliseconds)
        return self.good


class FakeModule:
    """A stand-in for the module `tensorrt`."""

    __version__ = "11.4.0"
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user")
    DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")

    LayerInformationFormat = SimpleNamespace(JSON="json")

    class ILogger:
        Severity = IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2})

    class IProfiler:
        pass

    def __init__(self) -> None:
        self.contexts: list[FakeContext] = []
        self.host_code: list[bool] = []
        self.kernels: list[bytes] = []  # of the runtime cache
        self.loads = True

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger

        class Runtime:
            engine_host_code_allowed = False

            def deserialize_cuda_engine(runtime, content: bytes) -> Any:  # noqa: N805
                self.host_code.append(runtime.engine_host_code_allowed)
                if not self.loads:
                    logger.log(self.ILogger.Severity.ERROR, "the engine is of another version")
                    return None
                return self._engine(content)

        return Runtime()

    def _engine(self, content: bytes) -> Any:
        def create(config: Any) -> FakeContext:
            assert config.strategy == "user"
            self.contexts.append(FakeContext())
            return self.contexts[-1]

        return SimpleNamespace(
            device_memory_size_v2=len(content),
            create_runtime_config=self._config,
            create_execution_context=create,
            num_layers=2,
            create_engine_inspector=lambda: SimpleNamespace(get_layer_information=self._layer),
        )

    def _layer(self, index: int, form: str) -> str:
        """As the inspector tells of an engine with details, and of a layer without them."""
        assert form == "json"
        array = [{"Name": "x", "Dimensions": [1, 8, 4, 4]}]
        detailed = {"Name": "stem", "LayerType": "Convolution", "Inputs": array, "Outputs": array}
        return json.dumps([detailed, "fused"][index])

    def _config(self) -> Any:
        config = SimpleNamespace()
        config.set_execution_context_allocation_strategy = lambda strategy: setattr(config, "strategy", strategy)
        config.create_runtime_cache = lambda: SimpleNamespace(
            deserialize=lambda blob: self.kernels.append(blob) or True, serialize=lambda: b"kernels"
        )
        config.set_runtime_cache = lambda cache: None
        return config


def entry(stage: str, target: str = "tensorrt", **flags: Any) -> Engine:
    shapes = {"encoder": {"image": Profile((1, 3, 32, 32), (1, 3, 32, 32), (2, 3, 32, 32))}}.get(stage, {})
    recipe = Recipe(
        stage, target, "0" * 64, "float32", "0.1.0", "11.4.0", "Linux-x86_64", "fake", (89,), (1, 1, 2), shapes,
        Flags(**flags),
    )  # fmt: skip
    return Engine(recipe, recipe.key, f"{stage}.engine", 0, "1" * 64, 1.0, "2026-11-22T00:00:00+00:00", "")


@pytest.fixture
def module() -> FakeModule:
    return FakeModule()


@pytest.fixture(scope="module")
def bundle(toys: Callable[..., Path]) -> Bundle:
    return Bundle.open(toys())


def arrays(device: FakeDevice, batch: int) -> dict[str, DeviceArray]:
    return {
        "image": device.allocate((batch, 3, 32, 32), "float32"),
        "codes": device.allocate((batch, 8, 8), "float32"),
    }


def runner(
    bundle: Bundle, module: Any, *entries: Engine, scratch: int = 1000, layers: bool = False
) -> tuple[EngineRunner, FakeDevice]:
    device = FakeDevice()
    engines = {item.recipe.stage: (item, b"x" * scratch) for item in entries}
    return EngineRunner(bundle, module, engines, device, layers), device


def test_every_array_is_bound_where_it_lies(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"))
    placed = arrays(device, 1)
    runs.run("encoder", placed)
    (context,) = module.contexts
    assert context.addresses == {name: array.pointer for name, array in placed.items()}
    assert context.shapes == {"image": (1, 3, 32, 32)}
    assert context.runs == [device.stream]


def test_shapes_have_contexts_of_their_own_and_share_scratch_memory(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"), entry("hypernet"))
    for batch in (1, 2, 1):
        runs.run("encoder", arrays(device, batch))
    first, second = module.contexts
    assert (first.shapes["image"][0], second.shapes["image"][0]) == (1, 2)
    assert len(first.runs) == 2
    assert first.scratch == second.scratch
    assert first.scratch[0] % SCRATCH_ALIGNMENT == 0
    assert first.scratch[1] == 1000


def test_scratch_memory_is_as_large_as_the_largest_needs(bundle: Bundle, module: FakeModule) -> None:
    device = FakeDevice()
    engines = {"encoder": (entry("encoder"), b"x" * 10), "hypernet": (entry("hypernet"), b"x" * 3000)}
    EngineRunner(bundle, module, engines, device).run("encoder", arrays(device, 1))  # type: ignore[arg-type]
    assert module.contexts[0].scratch[1] == 3000


def test_a_shape_outside_the_profile_names_the_command(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"))
    with pytest.raises(EngineError, match=r"encoder was built for other shapes.*\[3, 3, 32, 32\].*--batch 1:1:3"):
        runs.run("encoder", arrays(device, 3))


def test_a_stage_without_an_engine_names_the_command(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"))
    with pytest.raises(BackendError, match=r"no tensorrt engine of synthesis.*--target tensorrt --stages synthesis"):
        runs.run("synthesis", arrays(device, 1))


def test_an_engine_that_the_library_refuses_is_an_error_with_its_words(bundle: Bundle, module: FakeModule) -> None:
    module.loads = False
    with pytest.raises(BackendError, match=r"cannot load the engine of encoder. Got: the engine is of another version"):
        runner(bundle, module, entry("encoder"))


def test_a_run_that_fails_is_an_error(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"))
    placed = arrays(device, 1)
    runs.run("encoder", placed)
    module.contexts[0].good = False
    module.logger.log(module.ILogger.Severity.WARNING, "slow")
    module.logger.log(module.ILogger.Severity.INTERNAL_ERROR, "illegal memory access")
    with pytest.raises(BackendError, match=r"tensorrt failed in encoder. Got: illegal memory access"):
        runs.run("encoder", placed)


def test_every_session_hears_the_logger_of_the_first(bundle: Bundle, module: FakeModule) -> None:
    """The library ignores later loggers."""
    runner(bundle, module, entry("encoder"))
    first = module.logger
    runs, device = runner(bundle, module, entry("encoder"))
    placed = arrays(device, 1)
    runs.run("encoder", placed)
    module.contexts[-1].good = False
    first.log(module.ILogger.Severity.ERROR, "illegal memory access")
    with pytest.raises(BackendError, match="Got: illegal memory access"):
        runs.run("encoder", placed)


def test_layers_are_told_run_by_run_with_what_the_inspector_knows(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"), entry("hypernet"), layers=True)
    for stage, batch in (("encoder", 1), ("hypernet", 1), ("encoder", 2)):
        placed = arrays(device, batch)
        runs.run(stage, {**placed, "reconstruction": placed["image"]})
    told = runs.node_runs()
    assert [(layer.stage, layer.run, layer.name, layer.seconds) for layer in told] == [
        (stage, run, name, seconds)
        for stage, run in (("encoder", 0), ("hypernet", 0), ("encoder", 1))
        for name, seconds in (("stem", 0.002), ("fused", 0.0005))
    ]
    assert (told[0].operator, told[0].inputs, told[0].outputs) == ("Convolution", ((1, 8, 4, 4),), ((1, 8, 4, 4),))
    assert (told[1].operator, told[1].inputs) == ("unknown", ())


def test_layers_are_told_only_if_they_were_asked_for(bundle: Bundle, module: FakeModule) -> None:
    runs, device = runner(bundle, module, entry("encoder"))
    runs.run("encoder", arrays(device, 1))
    assert module.contexts[0].profiler is None
    with pytest.raises(BackendError, match="was not asked"):
        runs.node_runs()


def test_only_version_compatible_engines_may_bring_host_code(bundle: Bundle, module: FakeModule) -> None:
    runner(bundle, module, entry("encoder", version_compatible=True), entry("hypernet"))
    assert module.host_code == [True, False]


def test_kernels_made_for_the_gpu_are_kept_and_found(
    bundle: Bundle, module: FakeModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPERSTYLE_DEPLOY_CACHE", str(tmp_path))
    for _ in range(2):
        runs, device = runner(bundle, module, entry("encoder", target="tensorrt-rtx"))
        runs.run("encoder", arrays(device, 1))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.read_bytes() == b"kernels"
    assert module.kernels == [b"kernels"]  # the second session found what the first had made


def test_an_engine_for_another_gpu_is_refused_before_it_is_read(
    bundle: Bundle, module: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperstyle_deploy.runtime.backends import tensorrt
    from hyperstyle_deploy.runtime.backends.engines.keys import graph_digest
    from hyperstyle_deploy.runtime.backends.engines.record import Record

    here = entry("encoder")
    foreign = replace(
        here, recipe=replace(here.recipe, graph=graph_digest(bundle, "encoder"), compute_capabilities=(75,))
    )
    record = Record("tensorrt", {"encoder": foreign})
    monkeypatch.setattr(tensorrt, "import_module", lambda name: module)
    monkeypatch.setattr(tensorrt, "read_record", lambda path, target: record)
    monkeypatch.setattr("hyperstyle_deploy.runtime.backends.engines.loading.read_record", lambda path, target: record)
    with pytest.raises(EngineError, match="encoder was built for another GPU"):
        open_engines("tensorrt", bundle, FakeDevice(), trust_engines=True)


def test_the_fake_devices_memory_is_spoiled() -> None:
    """The other tests lean on it."""
    assert np.isnan(view(FakeDevice().allocate((4,), "float32"))).all()
