"""Arrays and streams of other libraries - PyCUDA, CuPy, PyTorch, JAX and more - in and out without a copy."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ...errors import ArrayError, BackendError
from . import dlpack
from .memory import ITEM_BYTES, Device, DeviceArray

#: CUDA's names of streams that belong to nobody; DLPack counts them in the same way.
LEGACY_STREAM, NO_WAIT = 1, -1
#: Where libraries keep a stream's handle: PyTorch, CuPy, PyCUDA and Numba.
STREAM_HANDLES = ("cuda_stream", "ptr", "handle")


def on_gpu(array: object) -> bool:
    """Whether something is an array in a GPU's memory, which ``borrow`` can take."""
    if hasattr(array, "__dlpack_device__"):
        return array.__dlpack_device__()[0] in (dlpack.CUDA, dlpack.CUDA_MANAGED)
    return hasattr(array, "__cuda_array_interface__")


def stream_handle(stream: object) -> int:
    """The handle of a stream of any library, or of an object with ``__cuda_stream__``; a number is one already.

    Raises:
        ArrayError: it is no stream.
    """
    if hasattr(stream, "__cuda_stream__"):
        _, handle = stream.__cuda_stream__()
        return int(handle)
    handles = (getattr(stream, name) for name in STREAM_HANDLES if hasattr(stream, name))
    handle = stream if isinstance(stream, int) and not isinstance(stream, bool) else next(handles, None)
    if handle is None:
        raise ArrayError(
            "That is no CUDA stream",
            got=type(stream).__name__,
            expected="a stream of PyCUDA, CuPy, PyTorch or another library, or its handle",
        )
    return int(getattr(handle, "value", handle) or 0)


def borrow(
    array: object, device: Device, name: str, shape: Sequence[int], dtype: str, stream: object = None
) -> DeviceArray:
    """An array of another library as the device's own: no copy; it is kept until the work with it is done.

    What wrote it need not be done. DLPack makes the device wait for it; else it waits for the stream that the array
    names, for ``stream``, or for the default stream, which stands for all that do not opt out of it.

    Args:
        array: has ``__dlpack__`` or ``__cuda_array_interface__``; dense, in this GPU's memory.
        device: whose work uses it; active, and not recording.
        name: what messages call it.
        shape: what it must be; -1 for any size of 1 or more.
        dtype: "float32", "float16", "bfloat16", "float64" or "uint8".
        stream: what the array is written in, if the array does not know it.

    Raises:
        ArrayError: not such an array, of another shape or dtype, not dense, or elsewhere.
    """
    if stream is not None:
        device.wait_for(stream_handle(stream) or LEGACY_STREAM)
    if hasattr(array, "__dlpack_device__"):
        pointer, got, strides, its_dtype, owner = _from_dlpack(array, device, name)
    elif hasattr(array, "__cuda_array_interface__"):
        pointer, got, strides, its_dtype, owner = _from_interface(array, device, name, waited=stream is not None)
    else:
        raise ArrayError(
            f"{name} is not an array on a GPU",
            got=type(array).__name__,
            expected="something with __dlpack__ or __cuda_array_interface__",
        )
    expected = f"{dtype} {list(shape)}".replace("-1", "N")
    if its_dtype != dtype:
        raise ArrayError(f"{name} is of the wrong type", got=its_dtype, expected=expected)
    fits = len(got) == len(shape) and all(want in (-1, size) for want, size in zip(shape, got, strict=True))
    if not fits or 0 in got:
        raise ArrayError(f"{name} has the wrong shape", got=list(got), expected=expected)
    if strides is not None and not _dense(got, strides, ITEM_BYTES[dtype]):
        raise ArrayError(
            f"{name} is not dense",
            got=f"strides of {list(strides)} bytes for {list(got)}",
            expected="rows one after the other",
            hint="Copy it first: .contiguous() in PyTorch, cupy.ascontiguousarray, .copy() in PyCUDA.",
        )
    device.check_place(pointer)
    return DeviceArray(pointer, got, dtype, device.borrow(owner))


# Address, shape, strides in bytes (None for a dense array), dtype, and what keeps the memory.
_Found = tuple[int, tuple[int, ...], tuple[int, ...] | None, str, object]


def _from_dlpack(array: Any, device: Device, name: str) -> _Found:
    kind, index = array.__dlpack_device__()
    if kind not in (dlpack.CUDA, dlpack.CUDA_MANAGED) or index != device.index:
        where = f"GPU {index}" if kind == dlpack.CUDA else f"DLPack's device {int(kind)}, {index}"
        raise ArrayError(f"{name} is elsewhere", got=where, expected=f"GPU {device.index}")
    try:
        tensor = dlpack.take(array.__dlpack__(stream=device.stream))
    except (BufferError, RuntimeError, TypeError, ValueError) as error:  # each library has its own
        raise ArrayError(f"{name} cannot be lent", got=f"{type(array).__name__}: {error}") from error
    names = {(*code, 1): dtype for dtype, code in dlpack.DTYPES.items()}
    dtype = names.get(tensor.dtype, f"DLPack's type {tensor.dtype}")
    strides = tensor.strides and tuple(step * tensor.dtype[1] // 8 for step in tensor.strides)
    return tensor.pointer, tensor.shape, strides, dtype, tensor.owner


def _from_interface(array: Any, device: Device, name: str, waited: bool) -> _Found:
    interface = array.__cuda_array_interface__
    try:
        pointer, shape = int(interface["data"][0] or 0), tuple(map(int, interface["shape"]))
        dtype, mask = np.dtype(interface["typestr"]), interface.get("mask")
        stream, strides = interface.get("stream"), interface.get("strides")
    except (KeyError, TypeError, ValueError) as error:
        raise ArrayError(f"{name} has no usable __cuda_array_interface__", got=repr(interface)) from error
    if mask is not None:
        raise ArrayError(f"{name} has a mask", expected="an array without")
    # Some name no stream though their work is not done, PyCUDA among them.
    if stream is not None or not waited:
        device.wait_for(int(stream) if stream else LEGACY_STREAM)
    return pointer, shape, strides, dtype.name if dtype.isnative else str(dtype), array


def _dense(shape: tuple[int, ...], strides: tuple[int, ...], step: int) -> bool:
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


class SharedArray:
    """A result in a GPU's memory, for any library that reads DLPack or ``__cuda_array_interface__``; nothing is copied.

    ``torch.from_dlpack``, ``cupy.from_dlpack``, ``jax.dlpack.from_dlpack``, ``cupy.asarray`` and ``to_pycuda`` take it.
    DLPack lets the reader's stream wait for the result. ``__cuda_array_interface__`` waits here until it is there, for
    few readers look at its stream. The memory is used again when nothing refers to this or to what was made of it, and
    the default stream is done. Who reads it in a stream that opts out of that keeps it until its work is done.

    Args:
        array: the result.
        device: where it is.
        use: makes the device this thread's: ``DeviceBackend`` has a lock for it.
    """

    def __init__(
        self, array: DeviceArray, device: Device, use: Callable[[], AbstractContextManager[None]] | None = None
    ) -> None:
        self.shape, self.dtype, self.pointer = array.shape, array.dtype, array.pointer
        self._memory, self._device, self._use = device.lend(array.memory), device, use or device.active

    def ready(self, stream: object = None) -> None:
        """Wait until the result is there, or let a stream of any library wait for it."""
        with self._use():
            if stream is None:
                self._device.synchronize()
            else:
                self._device.let_wait(stream_handle(stream) or LEGACY_STREAM)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype == "bfloat16":
            raise AttributeError("__cuda_array_interface__ has no name for bfloat16; DLPack does")
        self.ready()
        return {
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": None,
            "version": 3,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self._device.index

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A capsule as the array API standard defines it; ``stream`` is the reader's, -1 not to wait."""
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError("this array is lent where it is, without a copy")
        if stream != NO_WAIT:
            self.ready(stream or LEGACY_STREAM)
        return dlpack.give(self.pointer, self.__dlpack_device__(), self.dtype, self.shape, self._memory)


def to_pycuda(array: SharedArray, stream: object = None) -> Any:
    """A result as a PyCUDA ``GPUArray`` on the same memory.

    Args:
        array: the result; bfloat16 has no place there.
        stream: a ``pycuda.driver.Stream`` that reads it, which is made to wait for it; None to wait here.

    Raises:
        BackendError: PyCUDA is not installed.
        ArrayError: an array of bfloat16.
    """
    try:
        from pycuda.gpuarray import GPUArray
    except ImportError as error:
        raise BackendError("PyCUDA cannot be used", got=str(error), hint="docs/gpu.md says how it is built.") from error
    if array.dtype == "bfloat16":
        raise ArrayError("PyCUDA has no bfloat16", got="an array of bfloat16", expected="float32 or float16")
    array.ready(stream)
    return GPUArray(array.shape, np.dtype(array.dtype), base=array, gpudata=array.pointer)
