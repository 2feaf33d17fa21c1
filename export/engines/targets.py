"""What differs between the two libraries: TensorRT builds on the GPU that it builds for, TensorRT-RTX anywhere."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from ...errors import BackendError, BuildError
from ...install_hint import install_command
from ...runtime.backends.engines.record import MODULES, Flags, Recipe
from ...runtime.backends.gpu import find_gpu
from ...runtime.bundle.files import atomic_file
from .api import IBuilderConfig, Library

#: The GPUs that a TensorRT-RTX engine is built for unless others are named: Ampere, Ada and Blackwell.
DEFAULT_CAPABILITIES = (80, 86, 89, 120)
TIMING_CACHE_NAME = "timing.cache"


@dataclass(frozen=True)
class Options:
    """What a user asks of a build.

    ``batch`` is (minimum, optimum, maximum) of graphs with a free batch. ``compute_capabilities`` (89 for 8.9) are for
    TensorRT-RTX, empty for ``DEFAULT_CAPABILITIES``. ``timing_cache`` is for TensorRT; None is its default, on.
    """

    batch: tuple[int, int, int] = (1, 1, 4)
    compute_capabilities: tuple[int, ...] = ()
    flags: Flags = field(default_factory=Flags)
    timing_cache: bool | None = None


class Target(ABC):
    """One of the two libraries, loaded.

    Raises:
        BuildError: it is not installed, or cannot be loaded.
    """

    name: str
    extra: str

    def __init__(self) -> None:
        self.library = _import(MODULES[self.name], self.name, self.extra)

    @abstractmethod
    def gpus(self, options: Options) -> tuple[str, tuple[int, ...]]:
        """What to build for: a GPU's name or "", and compute capabilities.

        Raises:
            BuildError: an option that the target does not have, a GPU that it cannot build for, or none to build on.
        """

    def configure(self, config: IBuilderConfig, recipe: Recipe, options: Options, folder: Path) -> None:
        """Prepare a build whose files are in ``folder``.

        Raises:
            BuildError: the library refuses an option.
        """
        trt, flags = self.library, recipe.flags
        # So that a profile can name each layer's operator and shapes; it costs a run nothing.
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        # The library allows TF32 unless told otherwise; here a float32 graph is float32.
        (config.set_flag if flags.tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
        if flags.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, flags.workspace_mib << 20)
        if flags.optimization_level is not None:
            config.builder_optimization_level = flags.optimization_level

    @abstractmethod
    def finish(self, config: IBuilderConfig, options: Options, folder: Path) -> None:
        """Keep what a build has left for the next one."""


class TensorRt(Target):
    """TensorRT: measures kernels on the GPU of this machine, and builds for that one unless told otherwise."""

    name, extra = "tensorrt", "tensorrt"

    def gpus(self, options: Options) -> tuple[str, tuple[int, ...]]:
        if options.compute_capabilities:
            raise BuildError(
                "TensorRT builds for the GPU that it runs on",
                got=f"--compute-capability {','.join(map(str, options.compute_capabilities))}",
                hint="Leave the option out, or use --target tensorrt-rtx, which builds for GPUs that are not here.",
            )
        try:
            gpu = find_gpu()
        except BackendError as error:
            raise BuildError(
                "TensorRT needs the GPU that it builds for",
                got=str(error),
                hint="Run this on the machine with that GPU, or use --target tensorrt-rtx, which needs none.",
            ) from error
        bound = options.flags.hardware_compatible == "none"
        return (gpu.name if bound else ""), (gpu.compute_capability,)

    def configure(self, config: IBuilderConfig, recipe: Recipe, options: Options, folder: Path) -> None:
        super().configure(config, recipe, options, folder)
        trt, flags = self.library, recipe.flags
        if flags.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        levels = trt.HardwareCompatibilityLevel
        config.hardware_compatibility_level = {
            "none": levels.NONE,
            "ampere-plus": levels.AMPERE_PLUS,
            "same-compute-capability": levels.SAME_COMPUTE_CAPABILITY,
        }[flags.hardware_compatible]
        if options.timing_cache is not False:
            _use_timing_cache(config, folder / TIMING_CACHE_NAME)

    def finish(self, config: IBuilderConfig, options: Options, folder: Path) -> None:
        cache = None if options.timing_cache is False else config.get_timing_cache()
        if cache is not None:
            with atomic_file(folder / TIMING_CACHE_NAME) as partial:
                partial.write_bytes(cache.serialize())


def _use_timing_cache(config: IBuilderConfig, path: Path) -> None:
    content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    # One that was measured on another GPU or by another version is refused: then an empty one takes its place.
    for start in (content, b""):
        cache = config.create_timing_cache(start)
        if cache is not None and config.set_timing_cache(cache, False):
            return
    raise BuildError("TensorRT takes no timing cache", hint="Try --no-timing-cache.")


class TensorRtRtx(Target):
    """TensorRT-RTX: compiles for a list of GPUs without one of them; kernels are finished where the engine loads."""

    name, extra = "tensorrt-rtx", "tensorrt-rtx"

    def gpus(self, options: Options) -> tuple[str, tuple[int, ...]]:
        self._refuse(options)
        known = self.capabilities()
        wanted = tuple(sorted(set(options.compute_capabilities or DEFAULT_CAPABILITIES)))
        if unknown := [capability for capability in wanted if capability not in known]:
            raise BuildError(
                "TensorRT-RTX does not build for this compute capability",
                got=", ".join(map(str, unknown)),
                expected=f"of {', '.join(map(str, known))}",
                hint="Data-centre GPUs such as Hopper (90) are TensorRT's: use --target tensorrt where there is one.",
            )
        return "", wanted

    def capabilities(self) -> tuple[int, ...]:
        """What the library builds for, as numbers such as 89."""
        names = [name for name in dir(self.library.ComputeCapability) if name.startswith("SM")]
        return tuple(sorted(int(name.removeprefix("SM")) for name in names))

    def configure(self, config: IBuilderConfig, recipe: Recipe, options: Options, folder: Path) -> None:
        super().configure(config, recipe, options, folder)
        members = self.library.ComputeCapability
        config.num_compute_capabilities = len(recipe.compute_capabilities)
        for index, capability in enumerate(recipe.compute_capabilities):
            if not config.set_compute_capability(getattr(members, f"SM{capability}"), index):
                raise BuildError("TensorRT-RTX refuses a compute capability", got=capability)
        # The loop is captured into a CUDA graph, which a run-time allocation would break.
        config.set_flag(self.library.BuilderFlag.REQUIRE_USER_ALLOCATION)

    def finish(self, config: IBuilderConfig, options: Options, folder: Path) -> None:
        """Nothing: it measures nothing at build."""

    def _refuse(self, options: Options) -> None:
        flags = options.flags
        absent = {
            "--hardware-compatible": (
                flags.hardware_compatible != "none",
                "its engines run on every GPU of --compute-capability",
            ),
            "--version-compatible": (flags.version_compatible, "its engines belong to one version"),
            "--timing-cache": (
                options.timing_cache is True,
                "it measures nothing at build; its run-time cache is kept when an engine is loaded",
            ),
        }
        for option, (asked, reason) in absent.items():
            if asked:
                raise BuildError(f"TensorRT-RTX has no {option}: {reason}", hint="Leave the option out.")


TARGETS: dict[str, type[Target]] = {target.name: target for target in (TensorRt, TensorRtRtx)}


def _import(module: str, target: str, extra: str) -> Library:
    try:
        return cast(Library, cast(Any, import_module(module)))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise _broken(module, error) from error
        raise BuildError(
            f"The module {module} is not installed, which --target {target} needs",
            hint=f"Install it with: {install_command(extra)}",
        ) from error
    except (ImportError, OSError) as error:  # the bindings without their library, or one of another platform
        raise _broken(module, error) from error


def _broken(module: str, error: Exception) -> BuildError:
    return BuildError(
        f"The module {module} is installed but cannot be loaded",
        got=str(error)[:400],
        hint="Install the library that belongs to it, in the same version.",
    )
