"""The GPU suite of the loop, rehearsed on the stand-in device: its tests hold for what they are written for.

Nothing here says what a GPU does. It keeps tests that no machine at hand can run from growing old.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.backends.device import DeviceBackend
from hyperstyle_deploy.runtime.backends.onnxruntime import Sessions
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.gpu.runtime import test_gpu_loop, test_gpu_stages
from hyperstyle_deploy.tests.gpu.runtime.conftest import Rig, photos
from hyperstyle_deploy.tests.gpu.runtime.test_gpu_stages import given
from hyperstyle_deploy.tests.unit.runtime.fake_device import FakeDevice, HostRunner, QueuedKernels

__all__ = ["given", "photos"]


@pytest.fixture(scope="module")
def rig(tiny_bundle: Path, cpu_library: KernelLibrary) -> Iterator[Rig]:
    """The rig's bundle with the loop of devices, graph by graph in ONNX Runtime."""
    bundle, device = Bundle.open(tiny_bundle), FakeDevice()
    runner = HostRunner(bundle, device, Sessions(bundle, 1, ()), recordable=True)
    backend = DeviceBackend(bundle, device, runner, QueuedKernels(cpu_library, device))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_gpu_loop, "free_memory", lambda _: -device.bytes)
        patch.setattr(test_gpu_loop, "INVERSIONS", 10)
        yield Rig(tiny_bundle, Session(backend), load(tiny_bundle, backend="onnxruntime", threads=1))


@pytest.fixture
def sessions(rig: Rig) -> list[Session]:
    return [rig.gpu, rig.gpu]


for module in (test_gpu_loop, test_gpu_stages):
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_")})
