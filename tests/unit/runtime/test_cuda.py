"""The CUDA device without a GPU: its own suite, where the tests play the driver, and what it says without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_the_device_works_with_a_played_driver() -> None:
    """In a process of its own: no other test may find that driver."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "cuda")]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr
    summary = result.stdout.splitlines()[-1]
    assert " passed" in summary
    assert "skipped" not in summary


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU here")
def test_without_a_driver_the_error_says_so() -> None:
    program = "from hyperstyle_deploy.runtime.backends.cuda import CudaDevice\nCudaDevice(0)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "BackendError: CUDA cannot use the GPU. Got: " in result.stderr
    assert "nvidia-smi says whether there is a driver" in result.stderr
