"""The part of the TensorRT Python API that is used here, as types.

`tensorrt` and `tensorrt_rtx` are both seen through it, so the type checker refuses a call that is not declared here,
and `tests/unit/export/engines/test_api.py` compares every declaration with the real modules.
"""

from collections.abc import Sequence
from typing import Any, Protocol


class Enumerator(Protocol):
    """A member of one of the library's enumerations."""

    @property
    def name(self) -> str: ...
    def __int__(self) -> int: ...


class ITensor(Protocol):
    """An input or output of a network; a free axis is -1."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> Enumerator: ...
    @property
    def shape(self) -> Sequence[int]: ...


class INetworkDefinition(Protocol):
    """A network, as the parser filled it."""

    @property
    def num_inputs(self) -> int: ...
    @property
    def num_outputs(self) -> int: ...
    def get_input(self, index: int, /) -> ITensor: ...
    def get_output(self, index: int, /) -> ITensor: ...


class ParserError(Protocol):
    """What the parser found wrong."""

    def node_name(self) -> str: ...
    def node_operator(self) -> str: ...
    def desc(self) -> str: ...


class OnnxParser(Protocol):
    """Reads an ONNX file, and the files that it points into, into a network."""

    @property
    def num_errors(self) -> int: ...
    def parse_from_file(self, model: str, /) -> bool: ...
    def get_error(self, index: int, /) -> ParserError: ...


class IOptimizationProfile(Protocol):
    """The shapes that an engine is built for."""

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int], /) -> None: ...


class ITimingCache(Protocol):
    """What the builder has measured; TensorRT only."""

    def serialize(self) -> Any: ...


class IBuilderConfig(Protocol):
    """How to build. ``num_compute_capabilities`` and ``set_compute_capability`` are TensorRT-RTX's alone."""

    progress_monitor: Any
    builder_optimization_level: int
    hardware_compatibility_level: Enumerator
    num_compute_capabilities: int
    profiling_verbosity: Enumerator

    def set_flag(self, flag: Enumerator, /) -> None: ...
    def clear_flag(self, flag: Enumerator, /) -> None: ...
    def set_memory_pool_limit(self, pool: Enumerator, pool_size: int, /) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile, /) -> int: ...
    def create_timing_cache(self, serialized_timing_cache: bytes, /) -> ITimingCache | None: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool, /) -> bool: ...
    def get_timing_cache(self) -> ITimingCache | None: ...
    def set_compute_capability(self, compute_capability: Enumerator, index: int, /) -> bool: ...


class Builder(Protocol):
    """Builds engines."""

    def create_network(self, flags: int, /) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network_to_stream(
        self, network: INetworkDefinition, config: IBuilderConfig, writer: Any, /
    ) -> bool: ...


class ILogger(Protocol):
    """Subclassed to hear messages; the library calls it from any thread."""

    def log(self, severity: Enumerator, msg: str) -> None: ...


class IProgressMonitor(Protocol):
    """Subclassed to hear of phases, and to end a build by False."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
    def step_complete(self, phase_name: str, step: int) -> bool: ...
    def phase_finish(self, phase_name: str) -> None: ...


class IStreamWriter(Protocol):
    """Subclassed to take an engine in parts."""

    def write(self, data: bytes) -> int: ...


class NetworkDefinitionCreationFlag(Protocol):
    """How to make a network. TensorRT 11 types every network strongly and ignores the flag; 10 needs it."""

    STRONGLY_TYPED: Enumerator


class BuilderFlag(Protocol):
    """What a build may do; ``REQUIRE_USER_ALLOCATION`` is TensorRT-RTX's alone."""

    TF32: Enumerator
    VERSION_COMPATIBLE: Enumerator
    REQUIRE_USER_ALLOCATION: Enumerator


class ProfilingVerbosity(Protocol):
    """What an engine can tell of its layers."""

    DETAILED: Enumerator


class MemoryPoolType(Protocol):
    """Memory that a build can be held to."""

    WORKSPACE: Enumerator


class HardwareCompatibilityLevel(Protocol):
    """Which other GPUs an engine runs on; TensorRT only, TensorRT-RTX refuses the last two."""

    NONE: Enumerator
    AMPERE_PLUS: Enumerator
    SAME_COMPUTE_CAPABILITY: Enumerator


class Library(Protocol):
    """The module itself."""

    __version__: str
    ILogger: type[ILogger]
    IProgressMonitor: type[IProgressMonitor]
    IStreamWriter: type[IStreamWriter]
    NetworkDefinitionCreationFlag: NetworkDefinitionCreationFlag
    BuilderFlag: BuilderFlag
    MemoryPoolType: MemoryPoolType
    ProfilingVerbosity: ProfilingVerbosity
    HardwareCompatibilityLevel: HardwareCompatibilityLevel
    #: TensorRT-RTX's alone: SM75, SM80 and so on.
    ComputeCapability: Any

    def Builder(self, logger: Any, /) -> Builder: ...  # noqa: N802
    def OnnxParser(self, network: INetworkDefinition, logger: Any, /) -> OnnxParser: ...  # noqa: N802
