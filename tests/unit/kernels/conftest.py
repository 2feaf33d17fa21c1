"""The kernel for the CPU: compiled once a run, and memory of the host for its arrays."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
#: Warnings are errors; no contraction, so that products are rounded as the reference rounds them.
_FLAGS = [
    *("-std=c++17", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
]


class HostMemory:
    """Blocks of exactly the size asked for, so that an address sanitizer sees the first byte past them."""

    def __init__(self, guard: int = 256) -> None:
        self.guard = guard
        self._libc = ctypes.CDLL(None)
        self._libc.posix_memalign.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t)
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._sizes: dict[int, int] = {}

    def put(self, content: np.ndarray) -> int:
        block = ctypes.c_void_p()
        assert self._libc.posix_memalign(block, 256, content.nbytes) == 0
        address = int(block.value or 0)
        self._sizes[address] = content.nbytes
        self.get(address)[:] = content
        return address

    def get(self, address: int) -> np.ndarray:
        return np.ctypeslib.as_array((ctypes.c_uint8 * self._sizes[address]).from_address(address))

    def free(self) -> None:
        for address in self._sizes:
            self._libc.free(address)


def compile_for_cpu(target: Path, *options: str) -> Path:
    """The sources of the kernel, unchanged, as a shared library for the CPU."""
    sources = Path(__file__).parent / "cpu_cuda"
    command = ["g++", *_FLAGS, *options, f"-I{sources}", "-x", "c++", str(ROOT / "kernels" / "library.cu")]
    result = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return target


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile the kernel for the CPU")


@pytest.fixture(scope="session")
def compile_cpu() -> Callable[..., Path]:
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernel for the CPU")
    return compile_for_cpu


@pytest.fixture
def memory() -> Iterator[HostMemory]:
    memory = HostMemory()
    yield memory
    memory.free()
