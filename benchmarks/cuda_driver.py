"""CUDA's driver through ctypes, as much as the GPU tests and benchmarks need: memory, a stream, events, graphs.

It uses the device's primary context, which is also what CUDA's runtime inside the kernel's library uses.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_INT = ctypes.c_int
# Arguments of each function; a ctypes pointer type is something that it fills in.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (ctypes.c_uint,),
    "cuDriverGetVersion": (ctypes.POINTER(_INT),),
    "cuDeviceGet": (ctypes.POINTER(_INT), _INT),
    "cuDeviceGetName": (ctypes.c_char_p, _INT, _INT),
    "cuDeviceGetAttribute": (ctypes.POINTER(_INT), _INT, _INT),
    "cuDeviceTotalMem_v2": (ctypes.POINTER(_SIZE), _INT),
    "cuDevicePrimaryCtxRetain": (ctypes.POINTER(_POINTER), _INT),
    "cuCtxSetCurrent": (_POINTER,),
    "cuCtxSynchronize": (),
    "cuMemAlloc_v2": (ctypes.POINTER(_POINTER), _SIZE),
    "cuMemFree_v2": (_POINTER,),
    "cuMemcpyHtoD_v2": (_POINTER, _POINTER, _SIZE),
    "cuMemcpyDtoH_v2": (_POINTER, _POINTER, _SIZE),
    "cuMemcpyDtoDAsync_v2": (_POINTER, _POINTER, _SIZE, _POINTER),
    "cuStreamCreate": (ctypes.POINTER(_POINTER), ctypes.c_uint),
    "cuStreamSynchronize": (_POINTER,),
    "cuEventCreate": (ctypes.POINTER(_POINTER), ctypes.c_uint),
    "cuEventRecord": (_POINTER, _POINTER),
    "cuEventSynchronize": (_POINTER,),
    "cuEventElapsedTime": (ctypes.POINTER(ctypes.c_float), _POINTER, _POINTER),
    "cuStreamBeginCapture_v2": (_POINTER, _INT),
    "cuStreamEndCapture": (_POINTER, ctypes.POINTER(_POINTER)),
    "cuGraphInstantiateWithFlags": (ctypes.POINTER(_POINTER), _POINTER, ctypes.c_ulonglong),
    "cuGraphLaunch": (_POINTER, _POINTER),
}
_CAPABILITY = (75, 76)  # attributes: compute capability, major and minor
_PROCESSORS, _L2_BYTES = 16, 38
_NON_BLOCKING = 1
_CAPTURE_RELAXED = 2


class NoGpuError(RuntimeError):
    """There is no CUDA driver, or no device."""


class Device:
    """The first CUDA device, current in this thread.

    Raises:
        NoGpuError: there is none.
    """

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise NoGpuError(f"no CUDA driver: {error}") from error
        for name, arguments in _SIGNATURES.items():
            getattr(self._driver, name).argtypes = arguments
        handle = _INT()
        try:
            self._call("cuInit", 0)
            self._call("cuDeviceGet", handle, 0)
        except RuntimeError as error:
            raise NoGpuError(f"no CUDA device: {error}") from error
        self._handle = handle.value
        context = _POINTER()
        self._call("cuDevicePrimaryCtxRetain", context, self._handle)
        self._call("cuCtxSetCurrent", context)
        self.stream = self._made("cuStreamCreate", _NON_BLOCKING)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} failed with CUDA error {code}")

    def _made(self, name: str, *arguments: Any) -> int:
        """What a function that fills in its first argument makes."""
        handle = _POINTER()
        self._call(name, handle, *arguments)
        return int(handle.value or 0)

    def _attribute(self, number: int) -> int:
        value = _INT()
        self._call("cuDeviceGetAttribute", value, number, self._handle)
        return value.value

    def describe(self) -> dict[str, Any]:
        """Name, architecture, memory and driver."""
        name, memory, version = ctypes.create_string_buffer(256), _SIZE(), _INT()
        self._call("cuDeviceGetName", name, len(name), self._handle)
        self._call("cuDeviceTotalMem_v2", memory, self._handle)
        self._call("cuDriverGetVersion", version)
        return {
            "gpu": name.value.decode(),
            "compute_capability": ".".join(str(self._attribute(number)) for number in _CAPABILITY),
            "multiprocessors": self._attribute(_PROCESSORS),
            "l2_bytes": self._attribute(_L2_BYTES),
            "memory_bytes": memory.value,
            "driver": _driver_version(),
            "driver_cuda": f"{version.value // 1000}.{version.value % 1000 // 10}",
        }

    def allocate(self, size: int) -> int:
        """Address of ``size`` bytes, a multiple of 256."""
        return self._made("cuMemAlloc_v2", size)

    def free(self, address: int) -> None:
        """Give it back."""
        self._call("cuMemFree_v2", address)

    def upload(self, address: int, content: np.ndarray) -> None:
        """Copy an array to the device; waits until it is there."""
        content = np.ascontiguousarray(content)
        self._call("cuMemcpyHtoD_v2", address, content.ctypes.data, content.nbytes)
        self.synchronize()

    def download(self, address: int, size: int) -> np.ndarray:
        """``size`` bytes as uint8; waits for all work before."""
        self.synchronize()
        content = np.empty(size, np.uint8)
        self._call("cuMemcpyDtoH_v2", content.ctypes.data, address, size)
        return content

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy inside the device on the stream."""
        self._call("cuMemcpyDtoDAsync_v2", target, source, size, self.stream)

    def synchronize(self) -> None:
        """Wait for all work; an error of a kernel shows here."""
        self._call("cuCtxSynchronize")

    def seconds(self, enqueue: Callable[[], object]) -> float:
        """Time on the device of what a call enqueues on the stream."""
        if not hasattr(self, "_events"):
            self._events = [self._made("cuEventCreate", 0) for _ in range(2)]
        first, last = self._events
        self._call("cuEventRecord", first, self.stream)
        enqueue()
        self._call("cuEventRecord", last, self.stream)
        self._call("cuEventSynchronize", last)
        elapsed = ctypes.c_float()
        self._call("cuEventElapsedTime", elapsed, first, last)
        return elapsed.value * 1e-3

    @contextmanager
    def captured(self) -> Iterator[list[int]]:
        """Capture what the block enqueues on the stream; the list then has the graph, for ``replay``."""
        graphs: list[int] = []
        self._call("cuStreamBeginCapture_v2", self.stream, _CAPTURE_RELAXED)
        try:
            yield graphs
        finally:
            graph = _POINTER()
            self._call("cuStreamEndCapture", self.stream, graph)
        graphs.append(self._made("cuGraphInstantiateWithFlags", graph, 0))

    def replay(self, graph: int) -> None:
        """Enqueue a captured graph on the stream."""
        self._call("cuGraphLaunch", graph, self.stream)


def _driver_version() -> str:
    if shutil.which("nvidia-smi") is None:
        return "unknown"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.splitlines()[0].strip() if result.returncode == 0 and result.stdout else "unknown"
