"""A CUDA GPU through NVIDIA's own bindings: memory, one stream, copies, events, and work recorded as CUDA graphs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
from cuda.bindings import driver
from numpy.typing import NDArray

from ...errors import ArrayError, BackendError
from ...kernels.arithmetic import DTYPES
from .cuda_calls import SUCCESS, answer, call, find_context
from .cuda_memory import Heap, Kept
from .gpu import Gpu
from .memory import ITEM_BYTES, Device, DeviceArray, Recording, T

#: bfloat16 comes as its bits.
NUMPY_TYPES = {**DTYPES, "float64": np.float64, "uint8": np.uint8}


class CudaDevice(Device):
    """GPU ``index``, in the context that is current in this thread if it is this GPU's, else in its primary one.

    Args:
        index: as CUDA counts; ``CUDA_VISIBLE_DEVICES`` matters.
        stream: handle of a stream to work in; None for one of its own.
        keep: what must live as long as the device, such as the object that the stream's handle is from.

    Raises:
        BackendError: no driver, no such GPU, or a stream that is not usable.
    """

    def __init__(self, index: int, stream: int | None = None, keep: object = None) -> None:
        call(driver.cuInit, 0)
        count = call(driver.cuDeviceGetCount)
        if not 0 <= index < count:
            raise BackendError("No such GPU", got=index, expected=f"0 to {count - 1}")
        gpu = call(driver.cuDeviceGet, index)
        self.index, self.gpu = index, _describe(gpu)
        self._context = find_context(gpu)
        #: Whether this is the context of CUDA's runtime.
        self.primary = self._context.primary
        self._heap = Heap(self._context, stream)
        self.stream, self._heap.life.keep = self._heap.stream, keep
        self._allocate: Callable[[int], Kept] = self._heap.allocate
        #: Copies from the device to the host since the start; a test sees that the loop makes none.
        self.downloads = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        with self._context.active():
            yield

    def allocate(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        memory = self._allocate(prod(shape) * ITEM_BYTES[dtype])
        return DeviceArray(memory.handle, shape, dtype, memory)

    def upload(self, host: NDArray[Any], array: DeviceArray) -> None:
        if host.nbytes != array.nbytes:
            raise BackendError("An upload of another size", got=host.nbytes, expected=array.nbytes)
        self._heap.staging.upload(np.ascontiguousarray(host).reshape(-1).view(np.uint8), array.pointer)

    def download(self, array: DeviceArray) -> NDArray[Any]:
        host = np.empty(array.shape, NUMPY_TYPES[array.dtype])
        self._heap.staging.download(array.pointer, host.reshape(-1).view(np.uint8))
        self._heap.synchronize()
        self.downloads += 1
        return host

    def copy(self, source: DeviceArray, pointer: int) -> None:
        call(driver.cuMemcpyDtoDAsync, pointer, source.pointer, source.nbytes, self.stream)

    def event(self) -> Kept:
        return self._heap.event()

    def seconds(self, start: Kept, end: Kept) -> float:
        call(driver.cuEventSynchronize, end.handle)
        return float(call(driver.cuEventElapsedTime, start.handle, end.handle)) / 1e3

    def record(self, work: Callable[[], T]) -> "CudaGraph[T]":
        allocate, self._allocate = self._allocate, self._heap.allocate_block
        try:
            work()  # what is done only once - memory, constants, the engines' own set-up - must not be recorded
            self._heap.synchronize()
            graph, result = self._capture(work)
        finally:
            self._allocate = allocate
        try:
            executable = call(driver.cuGraphInstantiate, graph, 0)
        finally:
            call(driver.cuGraphDestroy, graph)
        return CudaGraph(result, Kept(executable, self._heap.returned.graphs, self._heap.life), self.stream)

    def _capture(self, work: Callable[[], T]) -> tuple[Any, T]:
        # Relaxed: memory may be asked for, and other threads may do what they like.
        call(driver.cuStreamBeginCapture, self.stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED)
        try:
            result = work()
        except BaseException:
            status, graph = answer(driver.cuStreamEndCapture, self.stream)  # a stream left recording takes no work
            if status == SUCCESS:
                call(driver.cuGraphDestroy, graph)
            raise
        return call(driver.cuStreamEndCapture, self.stream), result

    def wait_for(self, stream: int) -> None:
        self._heap.wait_for(stream)

    def let_wait(self, stream: int) -> None:
        self._heap.let_wait(stream)

    def synchronize(self) -> None:
        self._heap.synchronize()

    def borrow(self, owner: object) -> object:
        return Kept(owner, self._heap.returned.borrowed, self._heap.life)

    def lend(self, memory: object) -> object:
        return Kept(memory, self._heap.lent, self._heap.life)

    def check_place(self, pointer: int) -> None:
        kinds = driver.CUpointer_attribute
        asked = [
            kinds.CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
            kinds.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            kinds.CU_POINTER_ATTRIBUTE_CONTEXT,
        ]
        kind, ordinal, context = map(int, call(driver.cuPointerGetAttributes, len(asked), asked, pointer))
        memory = driver.CUmemorytype
        if kind not in (memory.CU_MEMORYTYPE_DEVICE, memory.CU_MEMORYTYPE_UNIFIED) or ordinal != self.index:
            raise ArrayError("The array is not in the session's GPU", got=hex(pointer), expected=f"GPU {self.index}")
        if context not in (0, int(self._context.handle)):  # memory of pools is of no context
            raise ArrayError(
                "The array is of another CUDA context",
                got=hex(context),
                expected=f"the session's, {int(self._context.handle):#x}",
                hint="Load the session while the array's context is current, or make the array in the primary context.",
            )


class CudaGraph(Recording[T]):
    """A CUDA graph on the stream that recorded it."""

    def __init__(self, result: T, executable: Kept, stream: int) -> None:
        self.result, self._executable, self._stream = result, executable, stream

    def replay(self) -> None:
        call(driver.cuGraphLaunch, self._executable.handle, self._stream)


def _describe(gpu: Any) -> Gpu:
    name = call(driver.cuDeviceGetName, 256, gpu).split(b"\0")[0].decode(errors="replace")
    kinds = driver.CUdevice_attribute
    major = call(driver.cuDeviceGetAttribute, kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, gpu)
    minor = call(driver.cuDeviceGetAttribute, kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, gpu)
    return Gpu(name, 10 * major + minor)
