"""What a CUDA device holds: memory on the GPU in the order of one stream, pinned memory, events; and how it ends."""

import ctypes
import weakref
from collections import defaultdict, deque
from collections.abc import MutableSequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from cuda.bindings import driver
from numpy.typing import NDArray

from ...errors import BackendError
from .cuda_calls import OUT_OF_MEMORY, SUCCESS, Context, answer, call, close_quietly, failure

#: Pinned memory of a device. Larger copies go in pieces of it.
STAGING_BYTES = 16 << 20
#: What each copy in it starts at a multiple of.
ALIGNMENT = 256
#: The stream that programs use who name none. Waiting for it waits for every stream that does not opt out of it.
LEGACY_STREAM = 1
#: Null, which is either of the others; the legacy one; a thread's own.
DEFAULT_STREAMS = (0, LEGACY_STREAM, 2)


@dataclass
class Returned:
    """What nothing refers to any more, until CUDA is told.

    Arrays, events and graphs by their handles; memory of recordings by size, to be reused; arrays of other libraries,
    and those that the stream may still use, each with the event that tells.
    """

    arrays: deque[int] = field(default_factory=deque)
    events: deque[Any] = field(default_factory=deque)
    graphs: deque[Any] = field(default_factory=deque)
    blocks: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    borrowed: deque[object] = field(default_factory=deque)
    in_use: deque[tuple[Any, list[object]]] = field(default_factory=deque)

    def free(self, stream: int) -> None:
        """Tell CUDA, all but the blocks; memory is free in the order of the stream's work."""
        while self.in_use and answer(driver.cuEventQuery, self.in_use[0][0])[0] == SUCCESS:
            self.events.append(self.in_use.popleft()[0])
        while self.graphs:
            call(driver.cuGraphExecDestroy, self.graphs.popleft())
        while self.arrays:
            call(driver.cuMemFreeAsync, self.arrays.popleft(), stream)
        while self.events:
            call(driver.cuEventDestroy, self.events.popleft())

    def free_everything(self, stream: int) -> None:
        """Tell CUDA once all work is done, that of who reads our memory as well."""
        call(driver.cuCtxSynchronize)
        self.borrowed.clear()
        self.free(stream)
        for pointer in chain(*self.blocks.values()):
            call(driver.cuMemFree, pointer)


class Kept:
    """A handle of CUDA's, which goes to a list when nothing refers to it any more: no CUDA call is made then.

    Python frees an object in any thread, without a context, and in the middle of a recording.
    """

    def __init__(self, handle: Any, home: MutableSequence[Any], life: "Life") -> None:
        self.handle, self._home, self._life = handle, home, life

    def __del__(self) -> None:
        self._home.append(self.handle)


class Life:
    """What everything of a heap refers to: with the last of it the context, the stream and the pool are given back.

    ``keep`` must live as long as the stream.
    """

    def __init__(self, context: Context, ends: ExitStack) -> None:
        self.keep: object = None
        finalizer = weakref.finalize(self, close_quietly, context, ends.close)
        finalizer.atexit = False  # the end of the process frees everything, and the driver may be gone by then


class Heap:
    """Memory, events and graphs of one context and stream.

    Methods are called inside ``context.active()``. Plain arrays are CUDA's stream-ordered memory, which it reuses in
    the order of the stream's work. Recordings have blocks that never move; they are reused in that order as well.

    Args:
        context: where everything is.
        stream: the caller's stream, which stays the caller's; None to make one.

    Raises:
        BackendError: the GPU has no stream-ordered memory, or the stream is not of this context or cannot be recorded.
    """

    def __init__(self, context: Context, stream: int | None) -> None:
        self.returned = Returned()
        #: What was lent to other libraries and came back.
        self.lent: deque[object] = deque()
        ends = ExitStack()
        with ExitStack() as on_error:
            on_error.callback(close_quietly, context, ends.close)
            with context.active():
                self.stream = _own_stream(ends) if stream is None else _checked(stream, context)
                self._pool = _make_pool(context, ends)
                self.staging = Staging(self.stream, ends)
            ends.callback(self.returned.free_everything, self.stream)
            on_error.pop_all()
        self.life = Life(context, ends)

    def allocate(self, size: int) -> Kept:
        """``size`` bytes in the order of the stream's work.

        Raises:
            BackendError: out of memory.
        """
        self.reclaim()
        function = driver.cuMemAllocFromPoolAsync
        return Kept(self._allocated(size, function, size, self._pool, self.stream), self.returned.arrays, self.life)

    def allocate_block(self, size: int) -> Kept:
        """``size`` bytes for recordings; also while one is made, for the memory is asked for outside the stream."""
        free = self.returned.blocks[size]
        pointer = free.pop() if free else self._allocated(size, driver.cuMemAlloc, size)
        return Kept(pointer, free, self.life)

    def _allocated(self, size: int, function: Any, *arguments: Any) -> int:
        status, pointer = answer(function, *arguments)
        if status == OUT_OF_MEMORY:  # the pool keeps what is free, perhaps in the wrong pieces
            call(driver.cuStreamSynchronize, self.stream)
            call(driver.cuMemPoolTrimTo, self._pool, 0)
            status, pointer = answer(function, *arguments)
        if status == OUT_OF_MEMORY:
            raise _out_of_memory(size)
        if status != SUCCESS:
            raise failure(function, status)
        return int(pointer)

    def event(self) -> Kept:
        """A note of the time in the stream."""
        return Kept(self._noted(self.stream), self.returned.events, self.life)

    def wait_for(self, stream: int) -> None:
        """Let the stream wait for what another has got so far."""
        self._order(stream, self.stream)

    def let_wait(self, stream: int) -> None:
        """Let another stream wait for what this one has got so far."""
        self._order(self.stream, stream)

    def _order(self, first: int, second: int) -> None:
        event = self._noted(first)
        call(driver.cuStreamWaitEvent, second, event, 0)
        call(driver.cuEventDestroy, event)  # CUDA keeps it until the wait is over

    @staticmethod
    def _noted(stream: int) -> Any:
        event = call(driver.cuEventCreate, driver.CUevent_flags.CU_EVENT_DEFAULT)
        call(driver.cuEventRecord, event, stream)
        return event

    def synchronize(self) -> None:
        """Wait for the stream."""
        borrowed = _taken(self.returned.borrowed)
        call(driver.cuStreamSynchronize, self.stream)
        self.staging.settled()
        borrowed.clear()

    def reclaim(self) -> None:
        """Give back what nothing refers to any more. Not while work is recorded: it would be recorded too."""
        if self.returned.borrowed:
            self.returned.in_use.append((self._noted(self.stream), _taken(self.returned.borrowed)))
        if self.lent:
            self.wait_for(LEGACY_STREAM)  # who had it may have given it back before the GPU has read it
            _taken(self.lent)
        self.returned.free(self.stream)


class Staging:
    """Pinned memory between a program's arrays and the device. What is in it stays until the stream is through."""

    def __init__(self, stream: int, ends: ExitStack) -> None:
        self._stream, self._used = stream, 0
        self._address = int(call(driver.cuMemHostAlloc, STAGING_BYTES, driver.CU_MEMHOSTALLOC_PORTABLE))
        ends.callback(call, driver.cuMemFreeHost, self._address)
        self._memory = np.ctypeslib.as_array((ctypes.c_uint8 * STAGING_BYTES).from_address(self._address))

    def upload(self, host: NDArray[np.uint8], pointer: int) -> None:
        """Copy bytes to the device; they may be changed when the call returns."""
        for start in range(0, host.size, STAGING_BYTES):
            piece = host[start : start + STAGING_BYTES]
            place = self._room(piece.size)
            self._memory[place : place + piece.size] = piece
            call(driver.cuMemcpyHtoDAsync, pointer + start, self._address + place, piece.size, self._stream)

    def download(self, pointer: int, host: NDArray[np.uint8]) -> None:
        """Wait for the stream and copy bytes from the device."""
        for start in range(0, host.size, STAGING_BYTES):
            piece = host[start : start + STAGING_BYTES]
            place = self._room(piece.size)
            call(driver.cuMemcpyDtoHAsync, self._address + place, pointer + start, piece.size, self._stream)
            call(driver.cuStreamSynchronize, self._stream)
            piece[...] = self._memory[place : place + piece.size]

    def settled(self) -> None:
        """The stream is through with everything: all of the memory is free."""
        self._used = 0

    def _room(self, size: int) -> int:
        if self._used + size > STAGING_BYTES:
            call(driver.cuStreamSynchronize, self._stream)
            self._used = 0
        place = self._used
        self._used += -(-size // ALIGNMENT) * ALIGNMENT
        return place


def _own_stream(ends: ExitStack) -> int:
    # Apart from the legacy stream, whose work in another thread would break a recording.
    stream = call(driver.cuStreamCreate, driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    ends.callback(call, driver.cuStreamDestroy, stream)
    return int(stream)


def _checked(stream: int, context: Context) -> int:
    if stream in DEFAULT_STREAMS:
        raise BackendError(
            "A session cannot work in a default stream",
            got=f"stream {stream}",
            expected="a stream that was made, since work in it is recorded",
            hint="Make one and use it for your own work as well, or leave the option out.",
        )
    if int(call(driver.cuStreamGetCtx, stream)) != int(context.handle):
        raise BackendError(
            "The stream is not of the session's context",
            got=hex(stream),
            hint="Load the session while the stream's context is current.",
        )
    return stream


def _make_pool(context: Context, ends: ExitStack) -> Any:
    supported = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
    if not call(driver.cuDeviceGetAttribute, supported, context.gpu):
        raise BackendError(
            "The GPU has no stream-ordered memory",
            got="a driver without memory pools",
            hint="Some virtual GPUs lack them; their host decides that.",
        )
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = int(context.gpu)
    pool = call(driver.cuMemPoolCreate, properties)
    ends.callback(call, driver.cuMemPoolDestroy, pool)
    # Without this a pool gives its free memory back whenever the stream is waited for, and takes it anew.
    everything = driver.cuuint64_t(2**64 - 1)
    keep = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
    call(driver.cuMemPoolSetAttribute, pool, keep, everything)
    return pool


def _taken(things: deque[object]) -> list[object]:
    """What a queue holds now; another thread may be adding to it."""
    return [things.popleft() for _ in range(len(things))]


def _out_of_memory(size: int) -> BackendError:
    free, total = call(driver.cuMemGetInfo)
    return BackendError(
        "The GPU is out of memory",
        got=f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free",
        expected=f"{size / 1e9:.2f} GB more",
        hint="Use a smaller batch, or a bundle exported with --precision fp16.",
    )
