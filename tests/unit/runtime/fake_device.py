"""A device on the host that is as strict as a GPU: freed memory is spoiled, and what is recorded is not yet done."""

import ctypes
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple

import numpy as np

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.kernels.arithmetic import tuned_weight, weight_energy
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.runtime.backends.device import GraphRunner
from hyperstyle_deploy.runtime.backends.gpu import Gpu
from hyperstyle_deploy.runtime.backends.memory import ITEM_BYTES, Device, DeviceArray, Recording
from hyperstyle_deploy.runtime.backends.onnxruntime import Sessions
from hyperstyle_deploy.runtime.bundle.reader import Bundle

#: What freed memory holds: NaN in every floating-point type.
SPOILED = 0xFF


class Memory:
    """A block; it goes back to its pool when nothing refers to it."""

    def __init__(self, block: np.ndarray, pool: list[np.ndarray]) -> None:
        self.block = block
        weakref.finalize(self, self._give_back, block, pool)

    @staticmethod
    def _give_back(block: np.ndarray, pool: list[np.ndarray]) -> None:
        pool.append(block)


class FakeDevice(Device):
    """Counts what a test wants to know: copies to and from the host, recordings, replays, bytes ever taken."""

    gpu, index, stream = Gpu("fake", 89), 0, 0

    def __init__(self) -> None:
        self.recorded = self.replays = self.bytes = 0
        #: Bytes and dtype of every copy to the host.
        self.downloaded: list[tuple[int, str]] = []
        #: Bytes of every copy to the device.
        self.uploaded: list[int] = []
        self._arrays: dict[int, list[np.ndarray]] = defaultdict(list)
        self._recording_pools: dict[int, list[np.ndarray]] = defaultdict(list)
        self._pools, self._tape = self._arrays, None

    @property
    def downloads(self) -> int:
        return len(self.downloaded)

    @contextmanager
    def active(self) -> Iterator[None]:
        yield

    def allocate(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        size = prod(shape) * ITEM_BYTES[dtype]
        pool = self._pools[size]
        if pool:
            block = pool.pop(0)
        else:
            self.bytes += size
            block = np.empty(size + 256, np.uint8)
        start = -block.ctypes.data % 256
        if self._tape is None:
            block[start : start + size] = SPOILED
        return DeviceArray(block.ctypes.data + start, shape, dtype, Memory(block, pool))

    def upload(self, host: np.ndarray, array: DeviceArray) -> None:
        self._not_while_recording("upload")
        assert host.nbytes == array.nbytes
        self.uploaded.append(array.nbytes)
        view(array)[...] = host

    def download(self, array: DeviceArray) -> np.ndarray:
        self._not_while_recording("download")
        self.downloaded.append((array.nbytes, array.dtype))
        return view(array).copy()

    def copy(self, source: DeviceArray, pointer: int) -> None:
        target = DeviceArray(pointer, source.shape, source.dtype, None)
        self.queue(lambda: np.copyto(view(target), view(source)))

    def event(self) -> float:
        self._not_while_recording("note the time")
        return time.perf_counter()

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def record(self, work: Callable[[], Any]) -> "Tape":
        self.recorded += 1
        pools, self._pools = self._pools, self._recording_pools
        try:
            work()
            self._tape = []
            result = work()
            return Tape(result, self._tape, self)
        finally:
            self._tape, self._pools = None, pools

    def synchronize(self) -> None:
        self._not_while_recording("wait")

    def wait_for(self, stream: int) -> None:
        self._not_while_recording("wait for a stream")

    def let_wait(self, stream: int) -> None:
        self._not_while_recording("let a stream wait")

    def check_place(self, pointer: int) -> None:
        """All memory is the host's."""

    def borrow(self, owner: object) -> object:
        return owner

    def lend(self, memory: object) -> object:
        return memory

    def queue(self, operation: Callable[[], object]) -> None:
        """Do it now; while recording, only note it."""
        if self._tape is None:
            operation()
        else:
            self._tape.append(operation)

    def _not_while_recording(self, what: str) -> None:
        if self._tape is not None:
            raise BackendError(f"cannot {what} while work is recorded")


class Tape(Recording[Any]):
    def __init__(self, result: Any, operations: list[Callable[[], object]], device: FakeDevice) -> None:
        self.result, self._operations, self._device = result, operations, device

    def replay(self) -> None:
        self._device.replays += 1
        for operation in self._operations:
            operation()


class HostRunner(GraphRunner):
    """The bundle's graphs in ONNX Runtime, reading and writing at the addresses that it is given."""

    name = "fake"

    def __init__(self, bundle: Bundle, device: FakeDevice, sessions: Sessions, recordable: bool) -> None:
        self.recordable, self._bundle, self._device, self._sessions = recordable, bundle, device, sessions
        self.runs: list[str] = []

    def run(self, stage: str, arrays: Mapping[str, DeviceArray]) -> None:
        # Only addresses: the arrays may be gone when a recording is replayed.
        places = {name: (array.pointer, array.shape, array.dtype) for name, array in arrays.items()}
        self._device.queue(lambda: self._run(stage, places))

    def _run(self, stage: str, places: Mapping[str, tuple[int, tuple[int, ...], str]]) -> None:
        self.runs.append(stage)
        spec = self._bundle.manifest.graphs[stage]
        host = {name: view(DeviceArray(*place, None)) for name, place in places.items()}
        outputs = self._sessions.run(stage, {tensor.name: host[tensor.name] for tensor in spec.inputs})
        for tensor, output in zip(spec.outputs, outputs, strict=True):
            host[tensor.name][...] = output


class QueuedKernels:
    """The kernels, in the order of the work: the modulation in numpy, the small ones compiled for the CPU."""

    def __init__(self, library: KernelLibrary, device: FakeDevice) -> None:
        self._library, self._device = library, device

    def modulation(self, arrays: Sequence[LayerArrays], dtype: str, offset_dtype: str) -> "QueuedKernels.Launch":
        self._library.modulation(arrays, dtype, offset_dtype)  # checks the table
        return self.Launch(lambda stream: self._device.queue(lambda: modulate_at(arrays, dtype, offset_dtype)))

    class Launch(NamedTuple):
        launch: Callable[[int], None]

    def __getattr__(self, name: str) -> Callable[..., None]:
        function = getattr(self._library, name)
        return lambda *arguments: self._device.queue(lambda: function(*arguments))


def modulate_at(arrays: Sequence[LayerArrays], dtype: str, offset_dtype: str) -> None:
    """The reference on the kernel's own table."""
    for entry in arrays:
        layer = entry.layer
        axes = (1, 0, 2, 3) if layer.up else (0, 1, 2, 3)
        shape = tuple(layer.weight_shape[axis] for axis in axes)
        base, weight = (view(DeviceArray(place, shape, dtype, None)) for place in (entry.base, entry.weight))
        offset_shape = layer.weight_shape[:2] if layer.offset == "channel" else layer.weight_shape
        offset = view(DeviceArray(entry.offset, offset_shape, offset_dtype, None))
        weight[...] = tuned_weight(base.transpose(axes), offset).transpose(axes)
        if entry.energy is not None:
            view(DeviceArray(entry.energy, shape[:2], "float32", None))[...] = weight_energy(weight)


def view(array: DeviceArray) -> np.ndarray:
    """The device's memory as numpy sees it."""
    memory = (ctypes.c_uint8 * array.nbytes).from_address(array.pointer)
    return np.frombuffer(memory, np.dtype(array.dtype)).reshape(array.shape)
