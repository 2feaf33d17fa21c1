"""The built kernel, and memory of the device for its arrays."""

from collections.abc import Iterator

import numpy as np
import pytest

from hyperstyle_deploy.benchmarks.cuda_driver import Device
from hyperstyle_deploy.kernels.build import build
from hyperstyle_deploy.kernels.library import LIBRARY, KernelLibrary


class DeviceMemory:
    """Blocks in the memory of a GPU."""

    guard = 256

    def __init__(self, device: Device) -> None:
        self._device = device
        self._sizes: dict[int, int] = {}

    def put(self, content: np.ndarray) -> int:
        address = self._device.allocate(content.nbytes)
        self._sizes[address] = content.nbytes
        self._device.upload(address, content)
        return address

    def get(self, address: int) -> np.ndarray:
        return self._device.download(address, self._sizes[address])

    def free(self) -> None:
        self._device.synchronize()
        for address in self._sizes:
            self._device.free(address)


@pytest.fixture(scope="session")
def gpu_library(device: Device, tmp_path_factory: pytest.TempPathFactory) -> KernelLibrary:
    """The one in the package, or one built now."""
    if LIBRARY.exists():
        return KernelLibrary()
    target = tmp_path_factory.mktemp("kernel") / LIBRARY.name
    build(target)
    return KernelLibrary(target)


@pytest.fixture
def memory(device: Device) -> Iterator[DeviceMemory]:
    memory = DeviceMemory(device)
    yield memory
    memory.free()
