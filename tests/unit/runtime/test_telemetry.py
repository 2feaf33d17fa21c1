"""ONNX Runtime reports to its makers and leaves files of its own behind, unless it is told not to."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SESSION = "import hyperstyle_deploy as hd; hd.load({!r}, backend='onnxruntime')"


def test_a_session_leaves_nothing_in_the_users_home(
    toys: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run([sys.executable, "-c", SESSION.format(str(toys()))], check=True)
    assert list(tmp_path.rglob("*")) == []
