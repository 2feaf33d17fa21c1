"""What differs between the two libraries; TensorRT's side runs against TensorRT-RTX and a config that writes down."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import tensorrt_rtx

from hyperstyle_deploy.errors import BackendError, BuildError
from hyperstyle_deploy.export.engines import targets
from hyperstyle_deploy.export.engines.builder import build
from hyperstyle_deploy.export.engines.targets import TIMING_CACHE_NAME, Options, TensorRt, TensorRtRtx
from hyperstyle_deploy.runtime.backends.engines.record import Flags, read_record
from hyperstyle_deploy.runtime.backends.gpu import Gpu

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.toy_bundle import ToyBundle

ADA = Gpu("NVIDIA GeForce RTX 4090", 89)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> TensorRt:
    """The target "tensorrt" on a machine with an Ada GPU, its module played by `tensorrt_rtx`, which has its API."""
    monkeypatch.setitem(targets.MODULES, "tensorrt", "tensorrt_rtx")
    monkeypatch.setattr(targets, "find_gpu", lambda: ADA)
    return TensorRt()


class Config:
    """A builder's config that writes down what it is told; its timing caches are valid if they start with "ours"."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.builder_optimization_level = 3
        self.hardware_compatibility_level: Any = None
        self.cache: Any = None

    def set_flag(self, flag: Any) -> None:
        self.told.append(("set", flag.name))

    def clear_flag(self, flag: Any) -> None:
        self.told.append(("clear", flag.name))

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.told.append((pool.name, size))

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content, serialize=lambda: content + b" and more")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        fits = cache.content == b"" or cache.content.startswith(b"ours")
        self.cache = cache if fits else self.cache
        return fits

    def get_timing_cache(self) -> Any:
        return self.cache


def recipe(flags: Flags) -> Any:
    return SimpleNamespace(flags=flags, compute_capabilities=(89,))


@pytest.mark.parametrize(
    ("flags", "told", "level"),
    [
        (Flags(), [("clear", "TF32")], "NONE"),
        (Flags(tf32=True, hardware_compatible="ampere-plus"), [("set", "TF32")], "AMPERE_PLUS"),
        (
            Flags(512, 5, True, "same-compute-capability"),
            [("clear", "TF32"), ("WORKSPACE", 512 << 20), ("set", "VERSION_COMPATIBLE")],
            "SAME_COMPUTE_CAPABILITY",
        ),
    ],
)
def test_tensorrt_is_told_every_flag(
    tensorrt: TensorRt, tmp_path: Path, flags: Flags, told: list[tuple[Any, ...]], level: str
) -> None:
    config: Any = Config()
    tensorrt.configure(config, recipe(flags), Options(timing_cache=False), tmp_path)
    assert (config.told, config.hardware_compatibility_level.name) == (told, level)
    assert config.builder_optimization_level == (3 if flags.optimization_level is None else flags.optimization_level)
    assert config.cache is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, b" and more"), (b"ours", b"ours and more"), (b"of another GPU", b" and more")],
)
def test_a_timing_cache_is_read_and_kept(
    tensorrt: TensorRt, tmp_path: Path, before: bytes | None, after: bytes
) -> None:
    path = tmp_path / TIMING_CACHE_NAME
    if before is not None:
        path.write_bytes(before)
    config: Any = Config()
    tensorrt.configure(config, recipe(Flags()), Options(), tmp_path)
    tensorrt.finish(config, Options(), tmp_path)
    assert path.read_bytes() == after
    assert [file.name for file in tmp_path.iterdir()] == [TIMING_CACHE_NAME]


def test_no_timing_cache_leaves_the_file_alone(tensorrt: TensorRt, tmp_path: Path) -> None:
    (tmp_path / TIMING_CACHE_NAME).write_bytes(b"ours")
    config: Any = Config()
    tensorrt.configure(config, recipe(Flags()), Options(timing_cache=False), tmp_path)
    tensorrt.finish(config, Options(timing_cache=False), tmp_path)
    assert (tmp_path / TIMING_CACHE_NAME).read_bytes() == b"ours"


@pytest.mark.parametrize(("level", "name"), [("none", ADA.name), ("ampere-plus", ""), ("same-compute-capability", "")])
def test_tensorrt_builds_for_the_gpu_that_is_there(tensorrt: TensorRt, level: str, name: str) -> None:
    assert tensorrt.gpus(Options(flags=Flags(hardware_compatible=level))) == (name, (89,))


def test_tensorrt_takes_no_list_of_gpus(tensorrt: TensorRt) -> None:
    with pytest.raises(BuildError, match=r"--compute-capability 89,120.*--target tensorrt-rtx"):
        tensorrt.gpus(Options(compute_capabilities=(89, 120)))


def test_tensorrt_without_a_gpu_says_so(tensorrt: TensorRt, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise BackendError("No NVIDIA GPU can be used", got="no driver")

    monkeypatch.setattr(targets, "find_gpu", none)
    with pytest.raises(BuildError, match=r"needs the GPU that it builds for.*no driver.*tensorrt-rtx"):
        tensorrt.gpus(Options())


@pytest.mark.usefixtures("tensorrt")
def test_the_same_code_builds_for_tensorrt(toy_bundle: "ToyBundle") -> None:
    options = Options(timing_cache=False)
    (built,) = build(toy_bundle.path, "tensorrt", ("encoder",), options)
    assert (built.engine.recipe.gpu, built.engine.recipe.compute_capabilities) == (ADA.name, (89,))
    assert build(toy_bundle.path, "tensorrt", ("encoder",), options)[0].reused
    assert read_record(toy_bundle.path, "tensorrt-rtx").engines == {}


def test_rtx_is_told_its_gpus_and_that_memory_is_ours(tmp_path: Path) -> None:
    config: Any = Config()
    chosen: list[tuple[str, int]] = []
    config.set_compute_capability = lambda member, index: chosen.append((member.name, index)) or True
    target = TensorRtRtx()
    wanted = SimpleNamespace(flags=Flags(), compute_capabilities=(89, 120))
    target.configure(config, wanted, Options(), tmp_path)
    target.finish(config, Options(), tmp_path)
    assert (config.num_compute_capabilities, chosen) == (2, [("SM89", 0), ("SM120", 1)])
    assert ("set", "REQUIRE_USER_ALLOCATION") in config.told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("target", "extra"), [(TensorRt, "tensorrt"), (TensorRtRtx, "tensorrt-rtx")])
def test_a_missing_module_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, target: type[targets.Target], extra: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(targets, "import_module", missing)
    with pytest.raises(BuildError, match=rf"--target {target.name} needs.*pip install .*\[{extra}\]"):
        target()


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libnvinfer.so.11: cannot open shared object file"),
        OSError("libnvinfer.so.11: file too short"),
        ModuleNotFoundError("No module named 'libnvinfer.so.11'", name="tensorrt_bindings"),
    ],
)
def test_bindings_without_their_library_are_told_from_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(name: str) -> None:
        raise error

    monkeypatch.setattr(targets, "import_module", broken)
    with pytest.raises(BuildError, match=r"installed but cannot be loaded.*libnvinfer\.so\.11"):
        TensorRt()


def test_the_module_is_the_one_that_the_record_names() -> None:
    assert TensorRtRtx().library is import_module("tensorrt_rtx") is tensorrt_rtx
