"""The kernel's own source, compiled for the CPU, against the reference: indexing, rounding, what it leaves alone."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.kernels.arithmetic import encoded, modulate
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.tests.kernel_cases import (
    DTYPE_PAIRS,
    KINDS,
    Case,
    Memory,
    check,
    faces_layers,
    layer,
    random_cases,
    run,
)

ODD_SIZES = (1, 3, 17, 33, 130)
KERNELS = (1, 2, 3, 5, 7)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("up", [False, True], ids=["ordinary", "up"])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_channel_counts(
    cpu_library: KernelLibrary, memory: Memory, kind: str, up: bool, dtypes: tuple[str, str]
) -> None:
    cases = [Case(layer(out, fan_in, 3, up, kind)) for out in ODD_SIZES for fan_in in ODD_SIZES]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("up", [False, True], ids=["ordinary", "up"])
def test_whole_vectors(cpu_library: KernelLibrary, memory: Memory, up: bool, dtypes: tuple[str, str]) -> None:
    """Sizes of the real layers: more than one tile each way, whole and cut tiles, all in 16-byte accesses."""
    library = ctypes.CDLL(str(cpu_library.path))
    before = [library.cpu_cuda_loads(size) for size in (2, 4, 16)]
    shapes = ((512, 8), (8, 512), (64, 72), (40, 88), (16, 16))
    check(cpu_library, memory, [Case(layer(*shape, 3, up, "full")) for shape in shapes], dtypes)
    narrow_2, narrow_4, wide = (
        library.cpu_cuda_loads(size) - count for size, count in zip((2, 4, 16), before, strict=True)
    )
    sizes = {"float32": 4, "float16": 2, "bfloat16": 2}
    elements = sum(out * fan_in * 9 for out, fan_in in shapes)
    assert wide * 16 == elements * (sizes[dtypes[0]] + sizes[dtypes[1]])  # each byte of base and offsets, once
    assert narrow_2 == narrow_4 == 0


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("kernel", KERNELS)
def test_any_kernel(cpu_library: KernelLibrary, memory: Memory, kernel: int, dtypes: tuple[str, str]) -> None:
    shapes = ((3, 32), (33, 17), (48, 64))
    cases = [Case(layer(*shape, kernel, up, kind)) for shape in shapes for up in (False, True) for kind in KINDS]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_kernels_of_which_a_tile_holds_one_or_three(
    cpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]
) -> None:
    """2304 taps are the most; with 1156, tiles of 16 bits hold three pairs and the second one starts unaligned."""
    shapes = ((3, 2, 48), (5, 1, 34), (4, 5, 34))
    cases = [Case(layer(*shape, up, kind)) for shape in shapes for up in (False, True) for kind in KINDS]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("shift", [1, 3])
def test_unaligned_arrays(cpu_library: KernelLibrary, memory: Memory, shift: int, dtypes: tuple[str, str]) -> None:
    cases = [Case(layer(48, 64, 3, up, kind), shift=shift) for up in (False, True) for kind in KINDS]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_without_energies(cpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]) -> None:
    shapes = ((3, 512, 1), (3, 33, 1), (64, 48, 3), (17, 5, 3))
    cases = [Case(layer(*shape, up, kind), energy=False) for shape in shapes for up in (False, True) for kind in KINDS]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_the_scale_is_applied(cpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]) -> None:
    cases = [
        Case(layer(32, 40, 3, up, kind), scale=scale)
        for scale in (0.0147, -2.0, 0.0)
        for up in (False, True)
        for kind in KINDS
    ]
    check(cpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_the_layers_for_faces_in_one_launch(
    cpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]
) -> None:
    check(cpu_library, memory, [Case(entry) for entry in faces_layers(divide=8)], dtypes)


@pytest.mark.parametrize("seed", range(30))
def test_random_tables(cpu_library: KernelLibrary, memory: Memory, seed: int) -> None:
    check(cpu_library, memory, random_cases(seed, largest=90), DTYPE_PAIRS[seed % len(DTYPE_PAIRS)], seed)


def test_energies_are_those_of_the_stored_weights(cpu_library: KernelLibrary, memory: Memory) -> None:
    """In bfloat16 the energies before and after rounding differ visibly: demodulation must see what is convolved."""
    (entry,) = run(cpu_library, memory, [Case(layer(16, 16, 3, False, "full"))], ("bfloat16", "float32"))
    at, _, inside = entry.blocks["energy"]
    energy = memory.get(at)[inside].copy().view(np.float32).reshape(16, 16)
    unrounded = modulate(entry.base, entry.offset)[1]
    assert np.abs(energy / unrounded - 1).max() > 1e-4
    np.testing.assert_allclose(energy, modulate(entry.base, entry.offset, dtype="bfloat16")[1], rtol=2e-6)


def test_numbers_past_float16_become_inf_as_in_numpy(cpu_library: KernelLibrary, memory: Memory) -> None:
    case = Case(layer(8, 8, 3, False, "none"), scale=65536.0, energy=False)
    (entry,) = run(cpu_library, memory, [case], ("float16", "float16"))
    at, _, inside = entry.blocks["weight"]
    stored = memory.get(at)[inside].copy().view(np.float16).reshape(entry.base.shape)
    expected = encoded(np.float32(65536) * entry.base, "float16")
    assert np.isinf(expected).any()
    assert np.isfinite(expected).any()
    assert np.array_equal(stored, expected)


@pytest.mark.parametrize("up", [False, True], ids=["ordinary", "up"])
def test_more_elements_than_32_bits_can_number(cpu_library: KernelLibrary, tmp_path: Path, up: bool) -> None:
    """In sparse files, of which only the pages of the last tile exist."""
    out, fan_in, tail = 25_000, 20_000, 8
    first, second = (fan_in, out) if up else (out, fan_in)
    base, weight = (np.memmap(tmp_path / name, np.float16, "w+", shape=(first, second, 9)) for name in "bw")
    offset = np.memmap(tmp_path / "o", np.float16, "w+", shape=(out, fan_in, 9))
    random = np.random.default_rng(0)
    base[-tail:, -tail:] = random.standard_normal((tail, tail, 9))
    offset[-tail:, -tail:] = random.standard_normal((tail, tail, 9))
    arrays = LayerArrays(layer(out, fan_in, 3, up), base.ctypes.data, weight.ctypes.data, offset.ctypes.data)
    modulation = cpu_library.modulation([arrays], "float16")
    library = ctypes.CDLL(str(cpu_library.path))
    library.cpu_cuda_last_blocks(1)
    try:
        modulation.launch()
    finally:
        library.cpu_cuda_last_blocks(2**32 - 1)
    rows = tail if up else 1  # the last tile of an ordinary layer lies in its last row
    block = offset[-tail:, -tail:].swapaxes(0, 1) if up else offset[-tail:, -tail:]
    expected = (base[-tail:, -tail:].astype(np.float32) * (1 + block.astype(np.float32))).astype(np.float16)
    assert np.abs(expected[-rows:]).min() > 0
    assert np.array_equal(weight[-rows:, -tail:], expected[-rows:])


def test_the_sanitizers_find_nothing(compile_cpu: Callable[..., Path], tmp_path: Path) -> None:
    """Arrays end where their blocks end, so the first byte read or written past one is an error."""
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip("g++ has no address sanitizer here")
    options = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    library = compile_cpu(tmp_path / "sanitized.so", *options)
    environment = {**os.environ, "LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    program = Path(__file__).with_name("sanitized_run.py")
    command = [sys.executable, str(program), str(library)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout.split() == ["compared"]
    planted = subprocess.run([*command, "past-the-end"], env=environment, capture_output=True, text=True, timeout=300)
    assert planted.returncode != 0
    assert "heap-buffer-overflow" in planted.stderr
