"""The GPU suite of the loop without a GPU: it can be collected, and every test says why it does not run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_skips_without_a_gpu() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("REQUIRE_GPU", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gpu/runtime"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = result.stdout.splitlines()[-1]
    assert " skipped in " in summary
    assert "no GPU" in result.stdout
    assert not {"passed", "failed", "error"} & set(summary.replace(",", "").split())
