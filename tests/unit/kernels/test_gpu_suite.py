"""The GPU suite on a machine without a GPU: it is skipped, and REQUIRE_GPU=1 makes that a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU here: run tests/gpu itself")


def gpu_suite(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "gpu" / "kernels")]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)


def test_without_a_gpu_it_is_skipped() -> None:
    result = gpu_suite(REQUIRE_GPU="0")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no CUDA" in result.stdout
    assert " passed" not in result.stdout.splitlines()[-1]


def test_where_a_gpu_is_required_that_is_a_failure() -> None:
    result = gpu_suite(REQUIRE_GPU="1")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "REQUIRE_GPU=1, but: " in result.stdout
    assert " skipped" not in result.stdout.splitlines()[-1]


def test_the_benchmark_refuses_to_run_without_a_gpu() -> None:
    program = str(ROOT / "benchmarks" / "kernel_bandwidth.py")
    result = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("This benchmark needs an NVIDIA GPU: no CUDA")
