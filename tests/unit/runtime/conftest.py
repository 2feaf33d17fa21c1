"""Fixtures of the runtime's tests: a hand-made bundle without networks, and a disk that is nearly full."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyperstyle_deploy.tests.small_bundle import SmallBundle, make_small_bundle

_SMALL_DISK = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from hyperstyle_deploy.errors import OutputError
path = Path(sys.argv[1])
try:
{code}
except OutputError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def small_bundle(tmp_path: Path) -> SmallBundle:
    return make_small_bundle(tmp_path / "bundle")


@pytest.fixture
def on_small_disk(tmp_path: Path) -> Callable[[str, str], tuple[str, list[str]]]:
    """Run code that writes to ``path`` where no file can pass 4 KiB; return the error's text and the files left."""

    def run(code: str, name: str) -> tuple[str, list[str]]:
        indented = "\n".join(f"    {line}" for line in code.splitlines())
        command = [sys.executable, "-c", _SMALL_DISK.format(code=indented), str(tmp_path / name)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in result.stderr
        assert result.returncode == 1
        return result.stderr, sorted(file.name for file in tmp_path.iterdir())

    return run
