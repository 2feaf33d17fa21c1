"""NVIDIA's bindings on a driver that the tests play. A process of its own: no other test may find this driver."""

import gc
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperstyle_deploy.tests.cuda.played_driver import PlayedDriver, Stage

pytest.importorskip("cuda.bindings.driver", reason="no cuda-bindings")
if shutil.which("cc") is None:
    pytest.skip("no C compiler for the driver's library", allow_module_level=True)

from hyperstyle_deploy.runtime.backends import cuda_memory

#: Pinned memory of a device in the tests: filled in no time.
STAGING_BYTES = 1 << 12


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    source = Path(__file__).with_name("libcuda.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", str(source), "-o", str(library)], check=True)
    return Stage(str(library))


@pytest.fixture
def played(stage: Stage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedDriver]:
    """A machine with two GPUs, nothing in them; at the end everything must have been given back."""
    monkeypatch.setattr(cuda_memory, "STAGING_BYTES", STAGING_BYTES)
    stage.driver = driver = PlayedDriver()
    yield driver
    driver.lasting = 0
    request.node.funcargs.clear()  # pytest keeps a test's device until everything is torn down
    gc.collect()
    left = {kind: count for kind, count in driver.live.items() if count}
    assert left == {"Stream": 1}  # the default stream
