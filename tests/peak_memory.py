"""How much memory a piece of a test takes at its worst."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PROCESS = Path("/proc/self")


@contextmanager
def takes_at_most(limit: int) -> Iterator[None]:
    """Fail if the largest resident set within is more than ``limit`` bytes above the resident set before.

    Linux forgets the process's own peak first; elsewhere, where nothing does, the test is skipped: what an earlier test
    took would hide everything.
    """
    if not (_PROCESS / "clear_refs").exists():
        pytest.skip("the peak of resident memory cannot be reset here")
    (_PROCESS / "clear_refs").write_text("5")
    before = _status("VmRSS")
    yield
    taken = _status("VmHWM") - before
    assert taken <= limit, f"{taken / 1e6:.0f} MB more at its worst, expected at most {limit / 1e6:.0f}"


def _status(name: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024
