"""A lock that one process at a time can hold, and that the system releases when its holder dies."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import BuildError, OutputError

_NAME = ".lock"


@contextmanager
def only_builder(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one build; the folder is made if it is not there.

    Raises:
        BuildError: another process holds it; it says which.
        OutputError: the folder cannot be written.
    """
    handle = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        _take(handle, folder)
    except OSError as error:
        raise OutputError(
            f"Cannot write {folder}",
            got=error.strerror or error,
            hint="Engines are kept inside their bundle: copy it to where you may write.",
        ) from error
    else:
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = os.pread(handle, 100, 1).decode(errors="replace") if hasattr(os, "pread") else ""
        raise BuildError(
            f"Another build is writing {folder}",
            got=f"process {holder}" if holder else "a locked folder",
            hint="Wait until it is done, then run the command again.",
        ) from error
    # The first byte is the one that Windows locks, and what is locked cannot be read there.
    os.ftruncate(handle, 0)
    os.write(handle, f" {os.getpid()}".encode())
