"""NVIDIA's driver, played on the host for the real bindings: as late as a GPU may be, and as strict.

Work waits in its stream until somebody waits for it. Freed memory is spoiled, and an address outside of live memory,
a handle that was destroyed, a call without a context or one that a recording forbids is an error, as on a GPU.
"""

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT, INVALID_HANDLE = 0, 1, 2, 201, 400
NOT_READY, ILLEGAL_ADDRESS, CAPTURE_UNSUPPORTED, UNKNOWN = 600, 700, 900, 999
NAMES = {
    INVALID_VALUE: b"invalid argument",
    OUT_OF_MEMORY: b"out of memory",
    100: b"no CUDA-capable device is detected",
    INVALID_CONTEXT: b"invalid device context",
    INVALID_HANDLE: b"invalid resource handle",
    ILLEGAL_ADDRESS: b"an illegal memory access was encountered",
    CAPTURE_UNSUPPORTED: b"operation not permitted when stream is capturing",
}
LEGACY = 1
DEVICE, HOST = 2, 1
TYPES = {"i": ctypes.c_int, "p": ctypes.c_void_p, "s": ctypes.c_size_t}
#: What is called without a context.
FREE = ("cuInit", "cuDevice", "cuCtx", "cuGetError")
#: What a stream that records does not take.
WAITING = ("cuStreamSynchronize", "cuMemFreeAsync", "cuEventRecord", "cuMemAllocFromPoolAsync")

_played: dict[str, tuple[str, Callable[..., int]]] = {}


def plays(name: str, signature: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The function of the driver that a method plays: i for an int, p for an address or handle, s for a size."""

    def note(method: Callable[..., int]) -> Callable[..., int]:
        _played[name] = signature, method
        return method

    return note


class Fault(Exception):  # noqa: N818
    """What a call answers."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass
class Region:
    """Memory: a GPU's, or pinned memory of the host."""

    bytes: np.ndarray
    kind: int
    context: int
    live: bool = True

    @property
    def address(self) -> int:
        return int(self.bytes.ctypes.data)


@dataclass
class Stream:
    """Work that waits; while it is recorded, what a graph gets."""

    context: int
    queue: deque[Callable[[], None]] = field(default_factory=deque)
    recorded: list[Callable[[], None]] | None = None

    def add(self, operation: Callable[[], None]) -> None:
        (self.queue if self.recorded is None else self.recorded).append(operation)

    def drain(self, until: Callable[[], bool] = lambda: False) -> None:
        while self.queue and not until():
            self.queue.popleft()()


@dataclass
class Event:
    """A place in a stream's work."""

    stream: Stream | None = None
    reached: float | None = None
    place: object = None


class PlayedDriver:
    """The functions, and what a test looks at: ``calls``, ``live``; ``fail`` makes the next calls of one fail."""

    def __init__(self, gpus: int = 2, memory: int = 1 << 30) -> None:
        self.gpus, self.memory, self.taken = gpus, memory, 0
        self.calls: list[str] = []
        self.fail: dict[str, list[int]] = {}
        self.pools_supported = 1
        self.lasting = SUCCESS
        self.regions: list[Region] = []
        self.objects: dict[int, Any] = {LEGACY: Stream(0)}
        self.contexts: dict[int, int] = {}
        self.primary: dict[int, list[int]] = {}
        self._stacks: dict[int, list[int]] = {}
        self._next = 0x1000

    @property
    def live(self) -> dict[str, int]:
        """How much of everything has not been given back."""
        kinds = [type(thing).__name__ for thing in self.objects.values()]
        counts = {kind: kinds.count(kind) for kind in ("Stream", "Event", "Pool", "Graph", "Executable")}
        regions = [region.kind for region in self.regions if region.live]
        retained = sum(count for _, count in self.primary.values())
        return {**counts, "device": regions.count(DEVICE), "pinned": regions.count(HOST), "primary": retained}

    @property
    def stack(self) -> list[int]:
        """The calling thread's contexts, the current one last."""
        return self._stacks.setdefault(threading.get_ident(), [])

    def answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        """Play a function: its status."""
        self.calls.append(name)
        try:
            if self.fail.get(name):
                raise Fault(self.fail[name].pop(0))
            if not name.startswith(FREE):
                if not self.stack:
                    raise Fault(INVALID_CONTEXT)
                if self.lasting:
                    raise Fault(self.lasting)
            _played[name][1](self, *arguments)
        except Fault as fault:
            return fault.status
        return SUCCESS

    # What the methods need.

    def new(self, thing: Any) -> int:
        self._next += 0x10
        self.objects[self._next] = thing
        return self._next

    def get(self, handle: int | None, kind: type) -> Any:
        thing = self.objects.get(handle or LEGACY)
        if not isinstance(thing, kind):
            raise Fault(INVALID_HANDLE)
        return thing

    def stream(self, handle: int | None, name: str = "") -> Stream:
        stream = self.get(handle, Stream)
        if stream.recorded is not None and name in WAITING:
            raise Fault(CAPTURE_UNSUPPORTED)
        return stream

    def drain(self, stream: Stream, until: Callable[[], bool] = lambda: False) -> None:
        try:
            stream.drain(until)
        except Fault as fault:
            self.lasting = fault.status
            raise

    def region(self, address: int, kind: int) -> Region:
        for region in self.regions:
            if region.address <= address < region.address + region.bytes.size and region.live and region.kind == kind:
                return region
        raise Fault(ILLEGAL_ADDRESS)

    def at(self, address: int, size: int, kind: int) -> np.ndarray:
        region = self.region(address, kind)
        start = address - region.address
        if start + size > region.bytes.size:
            raise Fault(ILLEGAL_ADDRESS)
        return region.bytes[start : start + size]

    def take_memory(self, out: int, size: int, kind: int, context: int) -> None:
        if size == 0:
            raise Fault(INVALID_VALUE)
        if kind == DEVICE and self.taken + size > self.memory:
            raise Fault(OUT_OF_MEMORY)
        self.taken += size if kind == DEVICE else 0
        region = Region(np.full(size, 0xFF, np.uint8), kind, context)
        self.regions.append(region)
        write(out, region.address)

    def free_memory(self, address: int, kind: int) -> None:
        region = self.region(address, kind)
        if region.address != address:
            raise Fault(INVALID_VALUE)
        self.taken -= region.bytes.size if kind == DEVICE else 0
        region.live = False
        region.bytes[:] = 0xFF

    def copy(self, target: tuple[int, int], source: tuple[int, int], size: int, stream: int | None) -> None:
        def now() -> None:
            self.at(target[0], size, target[1])[:] = self.at(source[0], size, source[1])

        self.stream(stream).add(now)

    # The driver itself.

    @plays("cuInit", "i")
    def init(self, flags: int) -> None:
        if not self.gpus:
            raise Fault(100)

    @plays("cuDeviceGetCount", "p")
    def device_count(self, out: int) -> None:
        write(out, self.gpus, ctypes.c_int)

    @plays("cuDeviceGet", "pi")
    def device(self, out: int, index: int) -> None:
        write(out, index, ctypes.c_int)

    @plays("cuDeviceGetName", "pii")
    def device_name(self, out: int, length: int, gpu: int) -> None:
        ctypes.memmove(out, b"Played GPU\0", 11)

    @plays("cuDeviceGetAttribute", "pii")
    def device_attribute(self, out: int, kind: int, gpu: int) -> None:
        write(out, {75: 8, 76: 9, 115: self.pools_supported}[kind], ctypes.c_int)

    @plays("cuDevicePrimaryCtxRetain", "pi")
    def retain(self, out: int, gpu: int) -> None:
        if gpu not in self.primary:
            self._next += 0x10
            self.primary[gpu] = [self._next, 0]
            self.contexts[self._next] = gpu
        self.primary[gpu][1] += 1
        write(out, self.primary[gpu][0])

    @plays("cuDevicePrimaryCtxRelease_v2", "i")
    @plays("cuDevicePrimaryCtxRelease", "i")
    def release(self, gpu: int) -> None:
        if not self.primary.get(gpu, [0, 0])[1]:
            raise Fault(INVALID_CONTEXT)
        self.primary[gpu][1] -= 1

    @plays("cuDevicePrimaryCtxGetState", "ipp")
    def primary_state(self, gpu: int, flags: int, active: int) -> None:
        write(flags, 0, ctypes.c_int)
        write(active, int(self.primary.get(gpu, [0, 0])[1] > 0), ctypes.c_int)

    @plays("cuCtxGetCurrent", "p")
    def current(self, out: int) -> None:
        write(out, self.stack[-1] if self.stack else 0)

    @plays("cuCtxGetDevice", "p")
    def context_device(self, out: int) -> None:
        write(out, self.contexts[self.stack[-1]], ctypes.c_int)

    @plays("cuCtxPushCurrent", "p")
    def push(self, context: int) -> None:
        if context not in self.contexts:
            raise Fault(INVALID_CONTEXT)
        self.stack.append(context)

    @plays("cuCtxPopCurrent", "p")
    def pop(self, out: int) -> None:
        if not self.stack:
            raise Fault(INVALID_CONTEXT)
        write(out, self.stack.pop())

    @plays("cuCtxSynchronize", "")
    def synchronize_context(self) -> None:
        for stream in [thing for thing in self.objects.values() if isinstance(thing, Stream)]:
            self.drain(stream)

    @plays("cuStreamCreate", "pi")
    def make_stream(self, out: int, flags: int) -> None:
        assert flags == 1  # not blocking
        write(out, self.new(Stream(self.stack[-1])))

    @plays("cuStreamDestroy", "p")
    def destroy_stream(self, handle: int) -> None:
        self.drain(self.get(handle, Stream))
        del self.objects[handle]

    @plays("cuStreamGetCtx", "pp")
    def stream_context(self, handle: int, out: int) -> None:
        write(out, self.stream(handle).context)

    @plays("cuStreamSynchronize", "p")
    def synchronize(self, handle: int) -> None:
        self.drain(self.stream(handle, "cuStreamSynchronize"))

    @plays("cuStreamWaitEvent", "ppi")
    def wait_event(self, handle: int, event: int, flags: int) -> None:
        found = self.get(event, Event)
        stream, place = found.stream, found.place
        if stream is not None:
            self.stream(handle).add(lambda: stream.drain(lambda: found.place is not place or found.reached is not None))

    @plays("cuStreamBeginCapture", "pi")
    def begin_capture(self, handle: int, mode: int) -> None:
        if handle in (None, LEGACY):
            raise Fault(CAPTURE_UNSUPPORTED)
        assert mode == 2  # relaxed
        self.stream(handle).recorded = []

    @plays("cuStreamEndCapture", "pp")
    def end_capture(self, handle: int, out: int) -> None:
        stream = self.stream(handle)
        graph, stream.recorded = Graph(stream.recorded or []), None
        write(out, self.new(graph))

    @plays("cuGraphInstantiate", "pps")
    @plays("cuGraphInstantiateWithFlags", "pps")
    def instantiate(self, out: int, graph: int, flags: int) -> None:
        write(out, self.new(Executable(self.get(graph, Graph).operations)))

    @plays("cuGraphLaunch", "pp")
    def launch(self, handle: int, stream: int) -> None:
        for operation in self.get(handle, Executable).operations:
            self.stream(stream).add(operation)

    @plays("cuGraphDestroy", "p")
    def destroy_graph(self, handle: int) -> None:
        self.get(handle, Graph)
        del self.objects[handle]

    @plays("cuGraphExecDestroy", "p")
    def destroy_executable(self, handle: int) -> None:
        self.get(handle, Executable)
        del self.objects[handle]

    @plays("cuEventCreate", "pi")
    def make_event(self, out: int, flags: int) -> None:
        write(out, self.new(Event()))

    @plays("cuEventDestroy", "p")
    def destroy_event(self, handle: int) -> None:
        self.get(handle, Event)
        del self.objects[handle]

    @plays("cuEventRecord", "pp")
    def record(self, handle: int, stream: int) -> None:
        event, place = self.get(handle, Event), object()
        event.stream, event.reached, event.place = self.stream(stream, "cuEventRecord"), None, place

        def reached() -> None:
            if event.place is place:
                event.reached = time.perf_counter()

        event.stream.add(reached)

    @plays("cuEventQuery", "p")
    def query(self, handle: int) -> None:
        event = self.get(handle, Event)
        if event.stream is not None and event.reached is None:
            raise Fault(NOT_READY)

    @plays("cuEventSynchronize", "p")
    def synchronize_event(self, handle: int) -> None:
        event = self.get(handle, Event)
        self.drain(event.stream, lambda: event.reached is not None)

    @plays("cuEventElapsedTime", "ppp")
    def elapsed(self, out: int, start: int, end: int) -> None:
        times = [self.get(handle, Event).reached for handle in (start, end)]
        if None in times:
            raise Fault(NOT_READY)
        write(out, 1e3 * (times[1] - times[0]), ctypes.c_float)

    @plays("cuMemPoolCreate", "pp")
    def make_pool(self, out: int, properties: int) -> None:
        kind, _, place, gpu = (ctypes.c_int * 4).from_address(properties)
        assert (kind, place) == (1, 1)  # pinned memory of a device
        write(out, self.new(Pool(gpu)))

    @plays("cuMemPoolDestroy", "p")
    def destroy_pool(self, handle: int) -> None:
        self.get(handle, Pool)
        del self.objects[handle]

    @plays("cuMemPoolSetAttribute", "pip")
    def pool_attribute(self, handle: int, kind: int, value: int) -> None:
        assert kind == 4  # release threshold
        self.get(handle, Pool).threshold = ctypes.c_uint64.from_address(value).value

    @plays("cuMemPoolTrimTo", "ps")
    def trim(self, handle: int, size: int) -> None:
        self.get(handle, Pool)

    @plays("cuMemAllocFromPoolAsync", "pspp")
    def allocate_from_pool(self, out: int, size: int, pool: int, stream: int) -> None:
        self.get(pool, Pool)
        self.stream(stream, "cuMemAllocFromPoolAsync")
        self.take_memory(out, size, DEVICE, 0)

    @plays("cuMemFreeAsync", "pp")
    def free_async(self, address: int, stream: int) -> None:
        self.stream(stream, "cuMemFreeAsync").add(lambda: self.free_memory(address, DEVICE))

    @plays("cuMemAlloc", "ps")
    def allocate(self, out: int, size: int) -> None:
        self.take_memory(out, size, DEVICE, self.stack[-1])

    @plays("cuMemFree", "p")
    def free(self, address: int) -> None:
        self.free_memory(address, DEVICE)

    @plays("cuMemHostAlloc", "psi")
    def allocate_host(self, out: int, size: int, flags: int) -> None:
        self.take_memory(out, size, HOST, self.stack[-1])

    @plays("cuMemFreeHost", "p")
    def free_host(self, address: int) -> None:
        self.free_memory(address, HOST)

    @plays("cuMemcpyHtoDAsync", "ppsp")
    def upload(self, target: int, source: int, size: int, stream: int) -> None:
        self.copy((target, DEVICE), (source, HOST), size, stream)

    @plays("cuMemcpyDtoHAsync", "ppsp")
    def download(self, target: int, source: int, size: int, stream: int) -> None:
        self.copy((target, HOST), (source, DEVICE), size, stream)

    @plays("cuMemcpyDtoDAsync", "ppsp")
    def copy_inside(self, target: int, source: int, size: int, stream: int) -> None:
        self.copy((target, DEVICE), (source, DEVICE), size, stream)

    @plays("cuMemGetInfo", "pp")
    def memory_info(self, free: int, total: int) -> None:
        write(free, self.memory - self.taken)
        write(total, self.memory)

    @plays("cuPointerGetAttributes", "ippp")
    def pointer_attributes(self, count: int, kinds: int, values: int, address: int) -> None:
        found = next(
            (r for r in self.regions if r.live and r.address <= address < r.address + r.bytes.size),
            Region(np.empty(0, np.uint8), 0, 0),
        )
        gpu = self.contexts.get(found.context, 0)
        answers = {1: (found.context, ctypes.c_uint64), 2: (found.kind, ctypes.c_int), 9: (gpu, ctypes.c_int)}
        asked = (ctypes.c_int * count).from_address(kinds)
        places = (ctypes.c_void_p * count).from_address(values)
        for kind, place in zip(asked, places, strict=True):
            write(place, *answers[kind])

    @plays("cuGetErrorString", "ip")
    def error_string(self, status: int, out: int) -> None:
        write(out, ctypes.cast(ctypes.c_char_p(NAMES.get(status, b"unknown")), ctypes.c_void_p).value)


@dataclass
class Pool:
    gpu: int
    threshold: int = 0


@dataclass
class Graph:
    operations: list[Callable[[], None]]


@dataclass
class Executable:
    operations: list[Callable[[], None]]


def write(address: int, value: Any, kind: Any = ctypes.c_uint64) -> None:
    """Fill in what a caller has a place for."""
    kind.from_address(address).value = value


class Stage:
    """Where a driver plays: the bindings ask once a process where its functions are, and the driver changes."""

    def __init__(self, library: str) -> None:
        self.driver = PlayedDriver()
        self._functions = {name: self._function(name, signature) for name, (signature, _) in _played.items()}
        self._find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)(self._address)
        # Under the driver's own name: the bindings get this one, whatever else is installed.
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL).play(self._find)

    def _function(self, name: str, signature: str) -> Any:
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, *(TYPES[letter] for letter in signature))
        return prototype(lambda *arguments: self.driver.answer(name, arguments))

    def _address(self, name: bytes, _version: int) -> int | None:
        function = self._functions.get(name.decode())
        return ctypes.cast(function, ctypes.c_void_p).value if function else None
