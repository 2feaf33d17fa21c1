"""The kernel on a GPU against the reference; the sanitizers; CUDA graphs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.benchmarks.cuda_driver import Device
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.tests.kernel_cases import (
    DTYPE_PAIRS,
    KINDS,
    Case,
    Memory,
    check,
    compare,
    faces_layers,
    layer,
    place,
    random_cases,
)

ODD_SIZES = (1, 3, 17, 33, 130)
BOTH = (False, True)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("up", BOTH, ids=["ordinary", "up"])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_channel_counts(
    gpu_library: KernelLibrary, memory: Memory, kind: str, up: bool, dtypes: tuple[str, str]
) -> None:
    cases = [Case(layer(out, fan_in, 3, up, kind)) for out in ODD_SIZES for fan_in in ODD_SIZES]
    check(gpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7, 34, 48])
def test_any_kernel(gpu_library: KernelLibrary, memory: Memory, kernel: int, dtypes: tuple[str, str]) -> None:
    shapes = ((3, 32), (33, 17), (5, 1), (48, 64))
    cases = [Case(layer(*shape, kernel, up, kind)) for shape in shapes for up in BOTH for kind in KINDS]
    check(gpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
@pytest.mark.parametrize("shift", [1, 3])
def test_unaligned_arrays(gpu_library: KernelLibrary, memory: Memory, shift: int, dtypes: tuple[str, str]) -> None:
    cases = [Case(layer(48, 64, 3, up, kind), shift=shift) for up in BOTH for kind in KINDS]
    check(gpu_library, memory, cases, dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_without_energies_and_with_a_scale(gpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]) -> None:
    cases = [
        Case(layer(*shape, up, kind), energy=False, scale=scale)
        for shape in ((3, 512, 1), (17, 5, 3), (64, 48, 3))
        for scale in (1.0, 0.0147)
        for up in BOTH
        for kind in KINDS
    ]
    for first in range(0, len(cases), 32):
        check(gpu_library, memory, cases[first : first + 32], dtypes)


@pytest.mark.parametrize("dtypes", DTYPE_PAIRS, ids="-".join)
def test_the_layers_for_faces_at_1024(gpu_library: KernelLibrary, memory: Memory, dtypes: tuple[str, str]) -> None:
    check(gpu_library, memory, [Case(entry) for entry in faces_layers()], dtypes)


@pytest.mark.parametrize("seed", range(40))
def test_random_tables(gpu_library: KernelLibrary, memory: Memory, seed: int) -> None:
    check(gpu_library, memory, random_cases(seed, largest=300), DTYPE_PAIRS[seed % len(DTYPE_PAIRS)], seed)


def test_a_captured_launch_follows_its_inputs(gpu_library: KernelLibrary, device: Device, memory: Memory) -> None:
    """On a stream of its own, replayed after the offsets have changed."""
    random = np.random.default_rng(0)
    case = Case(layer(64, 48, 3, True, "full"))
    entry, other = (place(case, memory, random, "float16", "float16") for _ in range(2))
    modulation = gpu_library.modulation([entry.arrays], "float16")
    gpu_library.modulation([other.arrays], "float16").launch()  # the first launch of a kernel loads it
    device.synchronize()
    with device.captured() as graphs:
        modulation.launch(device.stream)
    at, untouched, _ = entry.blocks["weight"]
    assert np.array_equal(memory.get(at), untouched)  # captured, not run
    device.replay(graphs[0])
    compare(entry, memory)
    (offsets, _, _), (_, changed, _) = entry.blocks["offset"], other.blocks["offset"]
    device.upload(offsets, changed)
    device.replay(graphs[0])
    entry.offset, entry.blocks["offset"] = other.offset, (offsets, changed, other.blocks["offset"][2])
    compare(entry, memory)


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_compute_sanitizer_finds_nothing(gpu_library: KernelLibrary, tool: str) -> None:
    places = [shutil.which("compute-sanitizer"), *Path("/usr/local").glob("cuda*/bin/compute-sanitizer")]
    sanitizer = next((place for place in places if place), None)
    if sanitizer is None:
        pytest.skip("no compute-sanitizer, which is part of CUDA's toolkit")
    program = Path(__file__).with_name("sanitized_run.py")
    command = [str(sanitizer), "--tool", tool, "--error-exitcode", "9", sys.executable, str(program)]
    result = subprocess.run(
        [*command, str(gpu_library.path)], env=os.environ, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert "compared" in result.stdout
    assert "0 errors" in result.stdout or "0 hazards" in result.stdout
