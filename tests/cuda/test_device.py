"""The device on a played driver: copies, contexts, streams, what is given back and when, recordings, errors."""

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends.cuda import CudaDevice
from hyperstyle_deploy.runtime.backends.memory import DeviceArray
from hyperstyle_deploy.tests.cuda.conftest import STAGING_BYTES
from hyperstyle_deploy.tests.cuda.played_driver import ILLEGAL_ADDRESS, OUT_OF_MEMORY, PlayedDriver, Stream

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def device(played: PlayedDriver) -> Iterator[CudaDevice]:
    """A device that is current in the test's thread."""
    device = CudaDevice(0)
    with device.active():
        yield device


def placed(device: CudaDevice, host: np.ndarray) -> DeviceArray:
    array = device.allocate(host.shape, host.dtype.name)
    device.upload(host, array)
    return array


def test_the_gpu_is_described(played: PlayedDriver) -> None:
    device = CudaDevice(1)
    assert (device.gpu.name, device.gpu.compute_capability, device.index) == ("Played GPU", 89, 1)


def test_arrays_go_up_and_come_down(device: CudaDevice) -> None:
    array = placed(device, NUMBERS)
    np.testing.assert_array_equal(device.download(array), NUMBERS)
    other = device.allocate((3, 4), "float32")
    device.copy(array, other.pointer)
    np.testing.assert_array_equal(device.download(other.row(2)), NUMBERS[2:])
    assert device.downloads == 2
    with pytest.raises(BackendError, match="another size"):
        device.upload(NUMBERS[0], array)


def test_what_was_uploaded_may_be_changed_at_once(device: CudaDevice) -> None:
    host = NUMBERS.copy()
    array = placed(device, host)
    host[:] = 0
    np.testing.assert_array_equal(device.download(array), NUMBERS)


def test_more_goes_up_than_pinned_memory_holds(device: CudaDevice) -> None:
    """Without waiting in between, in one array and in many."""
    long = np.random.default_rng(0).integers(0, 256, 2 * STAGING_BYTES + 5, np.uint8)
    arrays = [placed(device, long), *(placed(device, long[first : first + STAGING_BYTES // 3]) for first in range(8))]
    np.testing.assert_array_equal(device.download(arrays[0]), long)
    for first, array in enumerate(arrays[1:]):
        np.testing.assert_array_equal(device.download(array), long[first : first + STAGING_BYTES // 3])


def test_the_context_that_was_current_is_so_again(played: PlayedDriver) -> None:
    device = CudaDevice(0)
    assert played.stack == []
    played.contexts[0xABC0] = 1
    played.stack.append(0xABC0)

    def fail() -> None:
        with device.active():
            assert played.stack == [0xABC0, played.primary[0][0]]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert played.stack == [0xABC0]


@pytest.mark.parametrize("primary_too", [False, True])
def test_the_callers_own_context_is_taken_and_stays_the_callers(played: PlayedDriver, primary_too: bool) -> None:
    if primary_too:
        played.primary[0] = [0xAAA0, 1]
        played.contexts[0xAAA0] = 0
    played.contexts[0xABC0] = 0
    played.stack.append(0xABC0)
    device = CudaDevice(0)
    assert not device.primary
    with device.active():
        assert played.stack == [0xABC0, 0xABC0]
    del device
    gc.collect()
    assert played.live["primary"] == int(primary_too)
    played.primary.clear()


def test_the_primary_context_is_retained_when_it_is_the_callers(played: PlayedDriver) -> None:
    """Who made it current may give it back before the session ends."""
    first = CudaDevice(0)
    with first.active():
        second = CudaDevice(0)
    assert second.primary
    assert played.live["primary"] == 2
    assert CudaDevice(1).index == 1


def test_the_callers_stream_is_used_and_stays(played: PlayedDriver) -> None:
    CudaDevice(0)  # the primary context is there
    context = played.primary[0][0]
    handle = played.new(Stream(context))
    owner = type("Owner", (), {})()
    device = CudaDevice(0, handle, keep=owner)
    with device.active():
        array = placed(device, NUMBERS)
        assert len(played.objects[handle].queue) == 1
        np.testing.assert_array_equal(device.download(array), NUMBERS)
    del device, array
    gc.collect()
    assert handle in played.objects
    played.objects.pop(handle).drain()


@pytest.mark.parametrize("handle", [0, 1, 2])
def test_a_default_stream_is_refused(played: PlayedDriver, handle: int) -> None:
    with pytest.raises(BackendError, match="cannot work in a default stream"):
        CudaDevice(0, handle)


def test_another_contexts_stream_is_refused(played: PlayedDriver) -> None:
    handle = played.new(Stream(context=0xABC0))
    with pytest.raises(BackendError, match="not of the session's context"):
        CudaDevice(0, handle)
    del played.objects[handle]


def test_freed_memory_is_given_back_in_order_and_never_from_a_finalizer(
    device: CudaDevice, played: PlayedDriver
) -> None:
    """Work that still reads it comes first, and the thread that drops it may have no context."""
    source, target = placed(device, NUMBERS), device.allocate((3, 4), "float32")
    device.copy(source, target.pointer)
    arrays = [source]
    del source
    before = len(played.calls)
    thread = threading.Thread(target=arrays.clear)
    thread.start()
    thread.join()
    assert played.calls[before:] == []
    device.allocate((1,), "float32")
    assert "cuMemFreeAsync" in played.calls[before:]
    np.testing.assert_array_equal(device.download(target), NUMBERS)
    assert played.live["device"] == 2


def test_arrays_outlive_the_device(played: PlayedDriver) -> None:
    device = CudaDevice(0)
    with device.active():
        array = placed(device, NUMBERS)
    del device
    gc.collect()
    assert played.live["Pool"] == 1
    del array
    gc.collect()
    assert played.live == {**dict.fromkeys(played.live, 0), "Stream": 1}


def test_a_recording_is_done_at_each_replay(device: CudaDevice, played: PlayedDriver) -> None:
    source = placed(device, NUMBERS)

    def work() -> DeviceArray:
        scratch, result = (device.allocate((3, 4), "float32") for _ in range(2))
        device.copy(source, scratch.pointer)
        device.copy(scratch, result.pointer)
        return result

    recording = device.record(work)
    live = played.live["device"]
    for factor in (1, 2, 3):
        device.upload(factor * NUMBERS, source)
        recording.replay()
        np.testing.assert_array_equal(device.download(recording.result), factor * NUMBERS)
    assert played.live["device"] == live
    assert played.live["Graph"] == 0
    again = device.record(work)
    assert again.result.pointer != recording.result.pointer
    assert played.live["device"] == live + 1  # the scratch is the first's


def test_what_is_dropped_while_work_is_recorded_stays_out_of_it(device: CudaDevice, played: PlayedDriver) -> None:
    dropped = [placed(device, NUMBERS), device.event()]

    def work() -> DeviceArray:
        dropped.clear()
        return device.allocate((2,), "float32")

    recording = device.record(work)
    device.allocate((1,), "float32")
    recording.replay()
    recording.replay()
    device.synchronize()  # a free that was recorded would be done twice


def test_work_that_fails_leaves_the_stream_usable(device: CudaDevice, played: PlayedDriver) -> None:
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) == 2:
            raise KeyError("in the recording")

    with pytest.raises(KeyError):
        device.record(work)
    assert played.live["Graph"] == 0
    np.testing.assert_array_equal(device.download(placed(device, NUMBERS)), NUMBERS)


def test_what_cannot_be_recorded_is_an_error(device: CudaDevice) -> None:
    array = placed(device, NUMBERS)
    runs: list[int] = []

    def work() -> None:
        runs.append(1)
        if len(runs) == 2:
            device.download(array)

    with pytest.raises(BackendError, match="operation not permitted when stream is capturing"):
        device.record(work)
    np.testing.assert_array_equal(device.download(array), NUMBERS)


def test_memory_that_the_pool_keeps_is_given_back_before_memory_is_out(
    device: CudaDevice, played: PlayedDriver
) -> None:
    played.fail["cuMemAllocFromPoolAsync"] = [OUT_OF_MEMORY]
    placed(device, NUMBERS)
    assert "cuMemPoolTrimTo" in played.calls
    with pytest.raises(BackendError, match=r"out of memory\. Got: 1\.1 of 1\.1 GB free\. Expected: 4\.00 GB more"):
        device.allocate((1_000_000_000,), "float32")
    np.testing.assert_array_equal(device.download(placed(device, NUMBERS)), NUMBERS)


def test_an_error_of_the_gpu_is_told_with_its_name(device: CudaDevice, played: PlayedDriver) -> None:
    array = device.allocate((4,), "float32")
    device.copy(array, 0xDEAD00)
    with pytest.raises(BackendError, match=r"illegal memory access.*cuStreamSynchronize.*start it again"):
        device.download(array)
    assert played.lasting == ILLEGAL_ADDRESS


def test_events_tell_the_time_between_them(device: CudaDevice, played: PlayedDriver) -> None:
    start, end = device.event(), device.event()
    assert device.seconds(start, end) >= 0
    del start, end
    device.allocate((1,), "float32")
    assert played.live["Event"] == 0


def test_no_gpu_and_a_wrong_number_are_errors(played: PlayedDriver) -> None:
    with pytest.raises(BackendError, match=r"No such GPU. Got: 2. Expected: 0 to 1"):
        CudaDevice(2)
    played.gpus = 0
    with pytest.raises(BackendError, match=r"CUDA cannot use the GPU.*no CUDA-capable device.*nvidia-smi"):
        CudaDevice(0)


@pytest.mark.parametrize("function", ["cuStreamCreate", "cuMemPoolCreate", "cuMemPoolSetAttribute", "cuMemHostAlloc"])
def test_a_device_that_cannot_be_opened_leaves_nothing(played: PlayedDriver, function: str) -> None:
    played.fail[function] = [OUT_OF_MEMORY]
    with pytest.raises(BackendError, match=function):
        CudaDevice(0)


def test_a_gpu_without_pools_is_refused(played: PlayedDriver) -> None:
    played.pools_supported = 0
    with pytest.raises(BackendError, match="no stream-ordered memory"):
        CudaDevice(0)
