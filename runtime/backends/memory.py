"""What the loop needs of a GPU: arrays in its memory, one stream of work, and recordings that can be replayed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from .gpu import Gpu

#: Bytes of an element, by the manifest's names of dtypes and those of results.
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8, "uint8": 1}

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """A dense array in device memory, which is given back once nothing refers to ``memory`` any more."""

    pointer: int
    shape: tuple[int, ...]
    dtype: str
    memory: object

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]

    def row(self, index: int) -> "DeviceArray":
        """Row ``index`` as a batch of one; it shares the memory."""
        size = self.nbytes // self.shape[0]
        return DeviceArray(self.pointer + index * size, (1, *self.shape[1:]), self.dtype, self.memory)


class Device(ABC):
    """A GPU with one stream: work is done in the order in which it was asked for, and memory is reused in that order.

    Methods are called by one thread at a time, inside ``active``.
    """

    gpu: Gpu
    #: Its number, as CUDA counts.
    index: int
    #: Handle of the stream (a ``cudaStream_t``).
    stream: int

    @abstractmethod
    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the device the calling thread's."""

    @abstractmethod
    def allocate(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        """An array with undefined contents.

        Raises:
            BackendError: out of memory.
        """

    @abstractmethod
    def upload(self, host: NDArray[Any], array: DeviceArray) -> None:
        """Copy a dense host array of the same size; it may be changed when the call returns."""

    @abstractmethod
    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Wait for the stream and bring an array to the host."""

    @abstractmethod
    def copy(self, source: DeviceArray, pointer: int) -> None:
        """Copy an array to another place on the device."""

    @abstractmethod
    def event(self) -> object:
        """Queue a note of the time."""

    @abstractmethod
    def seconds(self, start: Any, end: Any) -> float:
        """The device's own time between two events; waits for the later one."""

    @abstractmethod
    def record(self, work: Callable[[], T]) -> "Recording[T]":
        """Do ``work`` once, then record it.

        What ``work`` allocates is shared by all recordings and by nothing else: its contents last until another replay.

        Raises:
            BackendError: the work cannot be recorded.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work that was asked for is done.

        Raises:
            BackendError: some of it failed.
        """

    @abstractmethod
    def wait_for(self, stream: int) -> None:
        """Start what is asked for from now on when another stream is through with its work so far."""

    @abstractmethod
    def let_wait(self, stream: int) -> None:
        """Let another stream start what it gets from now on when the work that was asked for so far is done."""

    @abstractmethod
    def check_place(self, pointer: int) -> None:
        """See that work on the device may use an address.

        Raises:
            ArrayError: it is the host's, another GPU's, or another context's.
        """

    @abstractmethod
    def borrow(self, owner: object) -> object:
        """What keeps another library's array: it goes back when this is gone and the work asked for until then done."""

    @abstractmethod
    def lend(self, memory: object) -> object:
        """What keeps memory that another library uses: it is free when this is gone and the default stream is done."""


class Recording(ABC, Generic[T]):
    """Recorded work (a CUDA graph); ``result`` is what the work returned, whose contents each replay writes anew."""

    result: T

    @abstractmethod
    def replay(self) -> None:
        """Do the work again, in the order of the stream."""
