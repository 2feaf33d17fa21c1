"""The binding: what it refuses and how it says so. The library is the one for the CPU; its checks are the same code."""

import ctypes
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import KernelError
from hyperstyle_deploy.kernels import library as binding
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.kernels.traffic import bytes_moved, floor_us
from hyperstyle_deploy.tests.kernel_cases import faces_layers, layer

HEADER = (Path(__file__).parents[3] / "kernels" / "modulate.h").read_text()
# Addresses that no check reads.
FAR_APART = {"base": 2**44, "weight": 2**45, "offset": 2**46, "energy": 2**47}
GOOD = LayerArrays(layer(8, 4), base=0x10000, weight=0x20000, offset=0x30000, energy=0x40000)


def defined(name: str) -> int:
    found = re.search(rf"#define {name} (\d+)|\b{name} = (-?\d+)", HEADER)
    assert found, name
    return int(found[1] or found[2])


def test_the_binding_matches_the_header() -> None:
    assert defined("HYPERSTYLE_MODULATE_ABI") == binding.ABI
    assert defined("HYPERSTYLE_MODULATE_MAX_LAYERS") == binding.MAX_LAYERS
    assert {name: defined(f"HYPERSTYLE_{name.upper()}") for name in binding._DTYPES} == binding._DTYPES
    kinds = [defined(f"HYPERSTYLE_OFFSET_{name}") for name in ("NONE", "CHANNEL", "FULL")]
    assert kinds == [binding._NO_OFFSET, binding._CHANNEL, binding._FULL]
    codes = {int(code) for code in re.findall(r"HYPERSTYLE_(?:BAD_\w+|TOO_LARGE) = (-\d+)", HEADER)}
    assert codes == set(binding._EXPECTED)
    fields = re.findall(r"^  [\w* ]+?[ *](\w+);", HEADER[HEADER.index("typedef struct") :], re.MULTILINE)
    assert fields == [name for name, _ in binding._Layer._fields_]
    assert ctypes.sizeof(binding._Layer) == 56


def test_every_code_has_a_text(cpu_library: KernelLibrary) -> None:
    texts = {code: cpu_library.describe(code) for code in (0, *binding._EXPECTED)}
    assert len(set(texts.values())) == len(texts)
    assert cpu_library.describe(-1000) == "unknown code"


def test_a_good_table_is_accepted(cpu_library: KernelLibrary) -> None:
    for dtype, offset_dtype in (("float32", None), ("float16", "float32"), ("bfloat16", "bfloat16")):
        cpu_library.modulation([GOOD] * binding.MAX_LAYERS, dtype, offset_dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": layer(0, 4)}, r"out 0, in 4.*at least 1"),
        ({"layer": layer(8, 2**32 + 4)}, r"in 4294967300.*below 2\^31"),
        ({"layer": layer(2**16, 2**15)}, r"too large.*below 2\^31"),
        ({**FAR_APART, "layer": layer(2**28, 2, up=True)}, "too large"),
        ({"layer": layer(8, 4, kernel=49)}, "too large.*2304 taps"),
        ({"layer": layer(8, 4, offset="none")}, "kind of offset.*exactly if the layer is tuned"),
        ({"offset": None}, "kind of offset.*offset null"),
        ({"offset": None, "layer": layer(8, 4, offset="channel")}, "kind of offset"),
        ({"base": 0}, "pointer.*null"),
        ({"weight": 0}, "pointer.*null"),
        ({"base": 0x10002}, "multiple of its element's size.*base 0x10002"),
        ({"offset": 0x30001}, "multiple of its element's size"),
        ({"energy": 0x40002}, "multiple of its element's size"),
        ({"weight": 0x10000}, "overlaps.*cannot replace its base"),
        ({"weight": 0x10000 + 8 * 4 * 9 * 4 - 4}, "overlaps"),
        ({"energy": 0x20000 + 8 * 4 * 9 * 4 - 4}, "overlaps"),
        ({"energy": 0x30000}, "overlaps"),
        ({"offset": 0x20000 - 4}, "overlaps"),
        ({"scale": float("nan")}, "Inf or NaN.*finite"),
        ({"scale": float("inf")}, "Inf or NaN"),
    ],
)
def test_a_bad_layer_is_named(cpu_library: KernelLibrary, changes: dict, message: str) -> None:
    bad = replace(GOOD, **changes)
    bad = replace(bad, layer=replace(bad.layer, name="convs.7"))
    with pytest.raises(KernelError, match=f"refuses the table.*{message}") as caught:
        cpu_library.modulation([GOOD, bad, GOOD], "float32")
    assert "convs.7" in str(caught.value)


def test_arrays_may_touch(cpu_library: KernelLibrary) -> None:
    size = 8 * 4 * 9 * 4
    near = replace(GOOD, weight=0x10000 + size, energy=0x10000 + 2 * size, offset=0x10000 - size)
    cpu_library.modulation([near], "float32")


@pytest.mark.parametrize("count", [0, 33])
def test_the_number_of_layers_is_bounded(cpu_library: KernelLibrary, count: int) -> None:
    with pytest.raises(KernelError, match=rf"empty or too long.*Got: {count} layers.*1 to 32"):
        cpu_library.modulation([GOOD] * count, "float32")


def test_more_blocks_than_a_launch_may_have(cpu_library: KernelLibrary) -> None:
    huge = replace(GOOD, **FAR_APART, layer=layer(2**30, 1, 46))
    with pytest.raises(KernelError, match="more blocks than a launch"):
        cpu_library.modulation([huge] * 3, "float32")


@pytest.mark.parametrize(
    ("dtype", "offset_dtype"),
    [("float64", None), ("float32", "float16"), ("float16", "bfloat16"), ("bfloat16", "int8")],
)
def test_dtypes_are_checked(cpu_library: KernelLibrary, dtype: str, offset_dtype: str | None) -> None:
    with pytest.raises(KernelError, match=rf"dtype.*Got: 1 layers of {dtype}.*float32, float16 or bfloat16"):
        cpu_library.modulation([GOOD], dtype, offset_dtype)


def test_a_cuda_error_is_typed(cpu_library: KernelLibrary) -> None:
    """The CPU's stand-in knows the default stream alone."""
    modulation = cpu_library.modulation([GOOD], "float32")
    with pytest.raises(
        KernelError, match=r"not launched: invalid resource handle.*CUDA error 400.*current CUDA device"
    ):
        modulation.launch(stream=0xDEAD)


def test_a_library_that_is_not_there_names_the_build(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"not built.*missing\.so.*python -m hyperstyle_deploy\.kernels\.build"):
        KernelLibrary(tmp_path / "missing.so")


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "text.so"
    path.write_text("not a library")
    with pytest.raises(KernelError, match=r"cannot be loaded.*text\.so.*python -m"):
        KernelLibrary(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('extern "C" int hyperstyle_modulate_abi() { return 7; }', r"cannot be loaded.*hyperstyle_modulate_check"),
        (
            'extern "C" { int hyperstyle_modulate_abi() { return 7; } int hyperstyle_modulate_check() { return 0; }'
            "int hyperstyle_modulate() { return 0; } int hyperstyle_modulate_error() { return 0; } }",
            r"another version.*Got: 7.*interface 1.*python -m",
        ),
    ],
    ids=["another library", "another version"],
)
def test_other_libraries_are_refused(
    compile_cpu: Callable[..., Path], tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "other.cpp").write_text(source)
    command = ["g++", "-shared", "-fPIC", str(tmp_path / "other.cpp"), "-o", str(tmp_path / "other.so")]
    subprocess.run(command, check=True, timeout=60)
    with pytest.raises(KernelError, match=message):
        KernelLibrary(tmp_path / "other.so")


def test_bytes_and_floor_for_faces_at_1024() -> None:
    """The figures of docs/gpu.md."""
    layers = faces_layers()
    elements, full, pairs = 23_583_744, 21_233_664, 2_620_416
    assert sum(int(np.prod(entry.weight_shape)) for entry in layers) == elements
    for dtype, offset_dtype, size, offset_size in (
        ("float32", None, 4, 4),
        ("float16", None, 2, 2),
        ("float16", "float32", 2, 4),
    ):
        expected = 2 * elements * size + (full + pairs - full // 9) * offset_size + pairs * 4
        assert bytes_moved(layers, dtype, offset_dtype) == expected
    assert bytes_moved(layers, "float32") == 285_130_752
    assert bytes_moved(layers, "float16") == bytes_moved(layers, "bfloat16") == 147_806_208
    assert round(floor_us(285_130_752, 4800e9), 1) == 59.4
    assert bytes_moved([layer(3, 8, 1, offset="none")], "float32") == 2 * 24 * 4  # toRGB: neither offsets nor energies
