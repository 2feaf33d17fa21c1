"""A CUDA GPU: memory, stream and copies through PyCUDA, recordings through NVIDIA's own bindings, which have graphs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from cuda.bindings import runtime as cudart
from numpy.typing import NDArray
from pycuda import driver, tools

from ...errors import BackendError
from ...kernels.arithmetic import DTYPES
from .gpu import Gpu
from .memory import ITEM_BYTES, Device, DeviceArray, Recording, T

#: bfloat16 comes as its bits.
NUMPY_TYPES = {**DTYPES, "float64": np.float64, "uint8": np.uint8}


class CudaDevice(Device):
    """GPU ``index``, in its primary context, which the runtime API, TensorRT and ONNX Runtime use as well."""

    def __init__(self, index: int) -> None:
        try:
            driver.init()
            if not 0 <= index < driver.Device.count():
                raise BackendError("No such GPU", got=index, expected=f"0 to {driver.Device.count() - 1}")
            gpu = driver.Device(index)
            self._context = gpu.retain_primary_context()
        except driver.Error as error:
            raise BackendError(
                "CUDA cannot use the GPU", got=str(error), hint="nvidia-smi says whether there is a driver and a GPU."
            ) from error
        major, minor = gpu.compute_capability()
        self.index, self.gpu = index, Gpu(gpu.name(), 10 * major + minor)
        #: Copies from the device to the host since the start; a test sees that the loop makes none.
        self.downloads = 0
        self._in_flight: list[object] = []
        with self.active():
            self._stream = driver.Stream()
            self._arrays, self._recorded = tools.DeviceMemoryPool(), tools.DeviceMemoryPool()
            self._staging = tools.PageLockedMemoryPool()
        self._pool = self._arrays
        self.stream = int(self._stream.handle)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            driver.Context.pop()

    def allocate(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        size = prod(shape) * ITEM_BYTES[dtype]
        try:
            memory = self._pool.allocate(size)
        except driver.MemoryError as error:
            free, total = driver.mem_get_info()
            raise BackendError(
                "The GPU is out of memory",
                got=f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free",
                expected=f"{size / 1e9:.2f} GB more",
                hint="Use a smaller batch, or a bundle exported with --precision fp16.",
            ) from error
        return DeviceArray(int(memory), shape, dtype, memory)

    def upload(self, host: NDArray[Any], array: DeviceArray) -> None:
        if host.nbytes != array.nbytes:
            raise BackendError("An upload of another size", got=host.nbytes, expected=array.nbytes)
        staged = self._staging.allocate((host.nbytes,), np.uint8)
        staged[:] = np.ascontiguousarray(host).reshape(-1).view(np.uint8)
        driver.memcpy_htod_async(array.pointer, staged, self._stream)
        self._in_flight.append(staged)

    def download(self, array: DeviceArray) -> NDArray[Any]:
        staged = self._staging.allocate(array.shape, NUMPY_TYPES[array.dtype])
        driver.memcpy_dtoh_async(staged, array.pointer, self._stream)
        self.downloads += 1
        self._synchronize()
        return staged.copy()

    def copy(self, source: DeviceArray, pointer: int) -> None:
        driver.memcpy_dtod_async(pointer, source.pointer, source.nbytes, self._stream)

    def event(self) -> driver.Event:
        event = driver.Event()
        event.record(self._stream)
        return event

    def seconds(self, start: driver.Event, end: driver.Event) -> float:
        try:
            end.synchronize()
            return float(end.time_since(start)) / 1e3
        except driver.Error as error:
            raise BackendError("The GPU failed", got=str(error)) from error

    def record(self, work: Callable[[], T]) -> "CudaGraph[T]":
        pool, self._pool = self._pool, self._recorded
        try:
            work()  # what is done only once - memory, constants, the engines' own set-up - must not be recorded
            self._synchronize()
            mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeRelaxed
            _check("record work", cudart.cudaStreamBeginCapture(self.stream, mode))
            try:
                result = work()
            finally:
                # Also after an error: a stream left recording takes no other work.
                ended = cudart.cudaStreamEndCapture(self.stream)
            return CudaGraph(result, _check("record work", ended), self.stream)
        finally:
            self._pool = pool

    def _synchronize(self) -> None:
        try:
            self._stream.synchronize()
        except driver.Error as error:
            raise BackendError("The GPU failed", got=str(error)) from error
        self._in_flight.clear()


class CudaGraph(Recording[T]):
    """A CUDA graph on the stream that recorded it."""

    def __init__(self, result: T, graph: Any, stream: int) -> None:
        self.result, self._stream = result, stream
        self._executable = _check("make a CUDA graph", cudart.cudaGraphInstantiate(graph, 0))
        _check("free a CUDA graph", cudart.cudaGraphDestroy(graph))

    def replay(self) -> None:
        _check("launch a CUDA graph", cudart.cudaGraphLaunch(self._executable, self._stream))

    def __del__(self) -> None:
        if executable := getattr(self, "_executable", None):
            cudart.cudaGraphExecDestroy(executable)


def _check(what: str, answer: tuple[Any, ...]) -> Any:
    """The value of a call of the bindings: they return the status first."""
    status, *values = answer
    if status != cudart.cudaError_t.cudaSuccess:
        _, text = cudart.cudaGetErrorString(status)
        raise BackendError(f"CUDA cannot {what}", got=f"{status.name}: {text.decode()}")
    return values[0] if values else None
