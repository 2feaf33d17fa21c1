"""Every name of the TensorRT API that is used exists in the real modules, with the parameters that it is called with.

The type checker refuses names that `api.py` does not declare. `tensorrt_rtx` is asked here. `tensorrt` cannot be
installed everywhere: its bindings for Python 3.11 were asked by hand on 2026-11-22, in 10.13.0.35, 10.13.3.9,
10.16.1.11 and 11.4.0.106, imported over a stand-in for the nine C functions that they link to. All four have
`SIGNATURES` without `RTX_ONLY`; 10.12.0.36 lacks `build_serialized_network_to_stream` and `IStreamWriter`.
"""

import inspect
import os
import re
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest

from hyperstyle_deploy.export.engines import api
from hyperstyle_deploy.runtime.backends.engines.record import MODULES

#: Used for TensorRT-RTX alone; TensorRT has none of them.
RTX_ONLY = {
    "BuilderFlag.REQUIRE_USER_ALLOCATION",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "Library.ComputeCapability",
}
#: Used as text: names of levels and types that the library hands over.
BY_NAME = {"ILogger.Severity": ("WARNING", "ERROR", "INTERNAL_ERROR"), "DataType": ("FLOAT", "HALF", "BF16", "INT64")}

METHODS = {
    "Builder.build_serialized_network_to_stream": "self, network, config, writer",
    "Builder.create_builder_config": "self",
    "Builder.create_network": "self, flags",
    "Builder.create_optimization_profile": "self",
    "IBuilderConfig.add_optimization_profile": "self, profile",
    "IBuilderConfig.clear_flag": "self, flag",
    "IBuilderConfig.create_timing_cache": "self, serialized_timing_cache",
    "IBuilderConfig.get_timing_cache": "self",
    "IBuilderConfig.set_compute_capability": "self, compute_capability, index",
    "IBuilderConfig.set_flag": "self, flag",
    "IBuilderConfig.set_memory_pool_limit": "self, pool, pool_size",
    "IBuilderConfig.set_timing_cache": "self, cache, ignore_mismatch",
    "ILogger.log": "self, severity, msg",
    "INetworkDefinition.get_input": "self, index",
    "INetworkDefinition.get_output": "self, index",
    "IOptimizationProfile.set_shape": "self, input, min, opt, max",
    "IProgressMonitor.phase_finish": "self, phase_name",
    "IProgressMonitor.phase_start": "self, phase_name, parent_phase, num_steps",
    "IProgressMonitor.step_complete": "self, phase_name, step",
    "IStreamWriter.write": "self, data, size",  # one `bytes` in Python, which knows its size
    "ITimingCache.serialize": "self",
    "OnnxParser.get_error": "self, index",
    "OnnxParser.parse_from_file": "self, model",
    "ParserError.desc": "self",
    "ParserError.node_name": "self",
    "ParserError.node_operator": "self",
}
VALUES = {
    *("BuilderFlag.REQUIRE_USER_ALLOCATION", "BuilderFlag.TF32", "BuilderFlag.VERSION_COMPATIBLE"),
    *("HardwareCompatibilityLevel.AMPERE_PLUS", "HardwareCompatibilityLevel.NONE"),
    *("HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY", "IBuilderConfig.builder_optimization_level"),
    *("IBuilderConfig.hardware_compatibility_level", "IBuilderConfig.num_compute_capabilities"),
    *("IBuilderConfig.progress_monitor", "INetworkDefinition.num_inputs", "INetworkDefinition.num_outputs"),
    *("ITensor.dtype", "ITensor.name", "ITensor.shape", "Library.Builder", "Library.BuilderFlag"),
    *("Library.ComputeCapability", "Library.HardwareCompatibilityLevel", "Library.ILogger", "Library.IProgressMonitor"),
    *("Library.IStreamWriter", "Library.MemoryPoolType", "Library.NetworkDefinitionCreationFlag", "Library.OnnxParser"),
    *("Library.__version__", "MemoryPoolType.WORKSPACE", "NetworkDefinitionCreationFlag.STRONGLY_TYPED"),
    *("OnnxParser.num_errors", "IBuilderConfig.profiling_verbosity", "Library.ProfilingVerbosity"),
    "ProfilingVerbosity.DETAILED",
}
SIGNATURES = {**METHODS, **dict.fromkeys(VALUES, "value")}


def declared() -> set[str]:
    """Every member that `api.py` declares, as "Class.member"; the module's own as "Library.member"."""
    kinds = [kind for _, kind in inspect.getmembers(api, inspect.isclass) if kind.__module__ == api.__name__]
    names = {f"{kind.__name__}.{name}" for kind in kinds for name in (*vars(kind), *kind.__annotations__)}
    return {name for name in names if re.fullmatch(r"(?!Enumerator\.)\w+\.(?!_)\w+|Library\.__version__", name)}


def found(module: ModuleType, name: str) -> str:
    """A method's parameters as its docstring has them; "value" for anything else; "missing"."""
    owner, member = name.split(".")
    place = module if owner == "Library" else getattr(module, owner)
    if not hasattr(place, member):
        return "missing"
    value = getattr(place, member)
    if inspect.isclass(value) or not callable(value):
        return "value"
    signatures = re.findall(rf"^{member}\((self: .*)\) ->", value.__doc__ or "", re.MULTILINE)
    return " or ".join(", ".join(re.findall(r"(?:^|, )(\w+):", signature)) for signature in signatures)


def test_the_table_has_every_declared_name() -> None:
    assert declared() == set(SIGNATURES)


@pytest.mark.parametrize("target", MODULES)
def test_the_module_has_every_name_of_the_table(target: str) -> None:
    if target == "tensorrt" and find_spec("tensorrt") is None and os.environ.get("REQUIRE_GPU") != "1":
        pytest.skip("TensorRT is not installed")
    module = import_module(MODULES[target])
    absent = dict.fromkeys(RTX_ONLY, "missing") if target == "tensorrt" else {}
    assert {name: found(module, name) for name in SIGNATURES} == {**SIGNATURES, **absent}
    for owner, names in BY_NAME.items():
        place = module
        for part in owner.split("."):
            place = getattr(place, part)
        assert not [name for name in names if not hasattr(place, name)]
