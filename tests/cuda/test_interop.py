"""Arrays of other libraries in and out on a played driver: without a copy, in order, and kept as long as needed."""

import gc
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, BackendError
from hyperstyle_deploy.runtime.backends import dlpack
from hyperstyle_deploy.runtime.backends.cuda import CudaDevice
from hyperstyle_deploy.runtime.backends.interop import SharedArray, borrow, on_gpu, stream_handle, to_pycuda
from hyperstyle_deploy.runtime.backends.memory import DeviceArray
from hyperstyle_deploy.tests.cuda.played_driver import (
    DEVICE,
    ILLEGAL_ADDRESS,
    LEGACY,
    Fault,
    PlayedDriver,
    Region,
    Stream,
)

SHAPE = (2, 3)
NUMBERS = np.arange(6, dtype=np.float32).reshape(SHAPE)


class Lent:
    """Another library's array with ``__cuda_array_interface__``, like PyCUDA's; its memory is spoiled when it goes."""

    def __init__(self, played: PlayedDriver, stream: int | None = None, **changes: Any) -> None:
        self.region = Region(np.full(NUMBERS.nbytes, 0xFF, np.uint8), DEVICE, played.primary[0][0])
        played.regions.append(self.region)
        self.__cuda_array_interface__ = {
            "shape": SHAPE,
            "typestr": "<f4",
            "data": (self.region.address, False),
            "strides": None,
            "stream": stream,
            "version": 3,
        } | changes
        # What is in it is written when its stream gets there.
        place = self.region.bytes.view(np.float32)
        played.objects[stream or LEGACY].add(lambda: np.copyto(place, NUMBERS.ravel()))

    def __del__(self) -> None:
        self.region.live = False
        self.region.bytes[:] = 0xFF


@pytest.fixture
def device(played: PlayedDriver) -> Iterator[CudaDevice]:
    device = CudaDevice(0)
    with device.active():
        yield device


def taken(array: object, device: CudaDevice, **options: Any) -> DeviceArray:
    return borrow(array, device, "photos", (-1, 3), "float32", **options)


def placed(device: CudaDevice) -> DeviceArray:
    array = device.allocate(SHAPE, "float32")
    device.upload(NUMBERS, array)
    return array


def test_an_array_comes_in_where_it_is_and_when_it_is_there(device: CudaDevice, played: PlayedDriver) -> None:
    """PyCUDA names no stream, though its work may be waiting in the default one."""
    lent = Lent(played)
    array = taken(lent, device)
    assert (array.pointer, array.shape, array.dtype) == (lent.region.address, SHAPE, "float32")
    np.testing.assert_array_equal(device.download(array), NUMBERS)


def test_the_stream_that_the_array_names_is_waited_for(device: CudaDevice, played: PlayedDriver) -> None:
    stream = played.new(Stream(played.primary[0][0]))
    np.testing.assert_array_equal(device.download(taken(Lent(played, stream), device)), NUMBERS)
    lent = Lent(played)
    played.objects[LEGACY].queue.clear()
    played.objects[stream].add(lambda: np.copyto(lent.region.bytes.view(np.float32), NUMBERS.ravel()))
    pycuda_stream = SimpleNamespace(handle=stream)
    np.testing.assert_array_equal(device.download(taken(lent, device, stream=pycuda_stream)), NUMBERS)
    del played.objects[stream]


def test_what_was_lent_is_kept_until_the_work_with_it_is_done(device: CudaDevice, played: PlayedDriver) -> None:
    array, target = taken(Lent(played), device), device.allocate(SHAPE, "float32")
    device.copy(array, target.pointer)
    live = played.live["device"]
    del array
    gc.collect()
    device._heap.reclaim()
    assert played.live["device"] == live
    np.testing.assert_array_equal(device.download(target), NUMBERS)
    device._heap.reclaim()
    assert played.live["device"] == live - 1


def test_dlpack_comes_in_and_goes_out(device: CudaDevice, played: PlayedDriver) -> None:
    """Two devices are two libraries: neither waits on the host for the other."""
    other = CudaDevice(0)
    with other.active():
        shared = SharedArray(placed(other), other)
        assert on_gpu(shared)
        played.calls.clear()
        array = taken(shared, device)
        assert array.pointer == shared.pointer
        assert "cuStreamSynchronize" not in played.calls
        del shared
        gc.collect()
        np.testing.assert_array_equal(device.download(array), NUMBERS)
        live = played.live["device"]
        del array
        device._heap.reclaim()
        assert played.live["device"] == live
        device.synchronize()
        device._heap.reclaim()  # the reader is done: the array goes back
        other._heap.reclaim()
        other.synchronize()
    assert played.live["device"] == live - 1


def test_a_capsule_that_nobody_takes_keeps_nothing(device: CudaDevice, played: PlayedDriver) -> None:
    capsule = SharedArray(placed(device), device).__dlpack__(stream=-1)
    assert len(dlpack._given) == 1
    del capsule
    assert dlpack._given == {}
    with pytest.raises(BufferError, match="without a copy"):
        SharedArray(placed(device), device).__dlpack__(copy=True)


def test_the_interface_waits_until_the_result_is_there(device: CudaDevice, played: PlayedDriver) -> None:
    interface = SharedArray(placed(device), device).__cuda_array_interface__
    assert (interface["shape"], interface["typestr"], interface["stream"]) == (SHAPE, "<f4", None)
    host = played.at(interface["data"][0], NUMBERS.nbytes, DEVICE).view(np.float32)
    np.testing.assert_array_equal(host.reshape(SHAPE), NUMBERS)
    assert not hasattr(SharedArray(device.allocate(SHAPE, "bfloat16"), device), "__cuda_array_interface__")


def test_lent_memory_is_used_again_when_the_default_stream_is_done(device: CudaDevice, played: PlayedDriver) -> None:
    shared, seen = SharedArray(placed(device), device), []
    interface = shared.__cuda_array_interface__
    address = interface["data"][0]
    played.objects[LEGACY].add(lambda: seen.append(played.at(address, 4, DEVICE).copy()))
    del shared
    device._heap.reclaim()
    device.synchronize()
    assert len(seen) == 1
    with pytest.raises(Fault, match=str(ILLEGAL_ADDRESS)):
        played.at(address, 4, DEVICE)


def test_pycuda_gets_a_gpuarray_on_the_same_memory(
    device: CudaDevice, played: PlayedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("pycuda.gpuarray")
    module.GPUArray = lambda *shape_dtype, **places: (shape_dtype, places)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.gpuarray", module)
    shared = SharedArray(placed(device), device)
    assert to_pycuda(shared) == ((SHAPE, np.float32), {"base": shared, "gpudata": shared.pointer})
    played.calls.clear()
    to_pycuda(shared, stream=SimpleNamespace(handle=LEGACY))
    assert "cuStreamWaitEvent" in played.calls
    assert "cuStreamSynchronize" not in played.calls
    with pytest.raises(ArrayError, match="no bfloat16"):
        to_pycuda(SharedArray(device.allocate(SHAPE, "bfloat16"), device))
    monkeypatch.setitem(sys.modules, "pycuda.gpuarray", None)
    with pytest.raises(BackendError, match="PyCUDA cannot be used"):
        to_pycuda(shared)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (2, 4)}, r"wrong shape. Got: \[2, 4\]. Expected: float32 \[N, 3\]"),
        ({"shape": (0, 3)}, "wrong shape"),
        ({"shape": (2, 3, 1)}, "wrong shape"),
        ({"typestr": "<f8"}, "wrong type. Got: float64"),
        ({"typestr": ">f4"}, "wrong type. Got: >f4"),
        ({"strides": (4, 8)}, r"not dense. Got: strides of \[4, 8\] bytes"),
        ({"mask": object()}, "has a mask"),
        ({"data": None}, "no usable __cuda_array_interface__"),
        ({"data": (0x10, False)}, "not in the session's GPU"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    device: CudaDevice, played: PlayedDriver, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArrayError, match=message):
        taken(Lent(played, **changes), device)


def test_an_array_elsewhere_is_refused(device: CudaDevice, played: PlayedDriver) -> None:
    for array, message in (
        (NUMBERS, r"photos is elsewhere. Got: DLPack's device 1, 0. Expected: GPU 0"),
        ([1.0], "photos is not an array on a GPU. Got: list"),
    ):
        assert not on_gpu(array)
        with pytest.raises(ArrayError, match=message):
            taken(array, device)
    other = CudaDevice(1)
    with other.active():
        there = SharedArray(placed(other), other)
    with pytest.raises(ArrayError, match=r"photos is elsewhere. Got: GPU 1. Expected: GPU 0"):
        taken(there, device)
    lent = Lent(played)
    lent.region.context = 0xABC0
    with pytest.raises(ArrayError, match="another CUDA context"):
        taken(lent, device)


def test_an_array_that_its_library_does_not_lend_is_refused(device: CudaDevice) -> None:
    class Refusing:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

        def __dlpack__(self, stream: int) -> object:
            raise BufferError("it needs a gradient")

    with pytest.raises(ArrayError, match=r"photos cannot be lent.*Refusing: it needs a gradient"):
        taken(Refusing(), device)


@pytest.mark.parametrize(
    "stream",
    [
        0x7010,
        SimpleNamespace(cuda_stream=0x7010),
        SimpleNamespace(ptr=0x7010),
        SimpleNamespace(handle=0x7010),
        SimpleNamespace(__cuda_stream__=lambda: (0, 0x7010)),
        SimpleNamespace(handle=SimpleNamespace(value=0x7010)),
    ],
)
def test_a_stream_of_any_library_has_a_handle(stream: object) -> None:
    assert stream_handle(stream) == 0x7010


@pytest.mark.parametrize("stream", [None, True, "stream", object()])
def test_what_is_no_stream_is_refused(stream: object) -> None:
    with pytest.raises(ArrayError, match="no CUDA stream"):
        stream_handle(stream)
