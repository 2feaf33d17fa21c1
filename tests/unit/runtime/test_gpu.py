"""The GPU's name and compute capability, asked of a driver that the test plays."""

import ctypes
from typing import Any

import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends.gpu import Gpu, find_gpu


class Driver:
    """The functions of NVIDIA's driver that are called, on a machine with these GPUs."""

    def __init__(self, *gpus: tuple[bytes, int, int], broken: str = "") -> None:
        self.gpus, self.broken = gpus, broken

    def cuInit(self, flags: int) -> int:  # noqa: N802
        assert flags == 0
        return 803 if self.broken == "cuInit" else (0 if self.gpus else 100)

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal + 7
        return 0 if 0 <= ordinal < len(self.gpus) else 101

    def cuDeviceGetName(self, name: Any, length: int, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = self.gpus[device.value - 7][0][: length - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: ctypes.c_int) -> int:  # noqa: N802
        value._obj.value = self.gpus[device.value - 7][attribute - 74]
        return 0

    def cuGetErrorName(self, status: int, text: Any) -> int:  # noqa: N802
        names = {100: b"CUDA_ERROR_NO_DEVICE", 803: b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}
        text._obj.value = names.get(status)
        return 0


def play(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)


def test_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Driver((b"NVIDIA H200", 9, 0), (b"NVIDIA GeForce RTX 5090", 12, 0)))
    assert find_gpu() == Gpu("NVIDIA H200", 90)
    assert find_gpu(1) == Gpu("NVIDIA GeForce RTX 5090", 120)


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (Driver(), "CUDA_ERROR_NO_DEVICE .100. from cuInit"),
        (Driver((b"T4", 7, 5), broken="cuInit"), "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
    ],
)
def test_a_driver_without_gpus_says_why(monkeypatch: pytest.MonkeyPatch, driver: Driver, message: str) -> None:
    play(monkeypatch, driver)
    with pytest.raises(BackendError, match=f"No NVIDIA GPU can be used.*{message}"):
        find_gpu()


def test_a_number_past_the_last_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, Driver((b"T4", 7, 5)))
    with pytest.raises(BackendError, match=r"error .101. from cuDeviceGet"):
        find_gpu(1)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(BackendError, match=r"no driver .*cannot open shared object file.*--gpus all"):
        find_gpu()
