"""Files that are whole or not there: atomic writes, content hashes, and paths that stay inside their folder."""

import errno
import glob
import hashlib
import itertools
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ...errors import BundleError, OutputError

_CHUNK = 1 << 20
_NOT_IN_NAMES = set("\0\\:*")
# Partial names: _RUN tells this process from an earlier one of the same number (in a container that is every one),
# the count tells threads apart that write the same path.
_RUN = secrets.token_hex(4)
_COUNT = itertools.count()


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file to read it. A pipe, on which opening would wait for ever, or a device is an error.

    Raises:
        OSError: it cannot be opened, or is no plain file.
        ValueError: a name that no file can have.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def kind_of(path: Path) -> str:
    """What stands at a path, in words."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "nothing there"
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "a pipe, socket or device"


def sha256_of(path: Path) -> str:
    """SHA-256 of a plain file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open_plain(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_all(paths: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of several files at once, the largest first so that the last thread to finish has little left."""
    largest_first = sorted(paths, key=lambda name: paths[name].stat().st_size, reverse=True)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(largest_first, pool.map(lambda name: sha256_of(paths[name]), largest_first), strict=True))


def inside(root: Path, name: str) -> Path:
    """The regular file ``name`` below ``root``, proved to be there and nowhere else.

    Raises:
        BundleError: the name is absolute, climbs out, or holds NUL, a backslash, a colon or an asterisk, which backends
            take for an address in memory; or the file is missing, is reached through a link, has a second hard link, or
            is not a regular file.
    """
    parts = PurePosixPath(name).parts
    if not name or set(name) & _NOT_IN_NAMES or name.startswith("/") or ".." in parts:
        raise BundleError("A path in the bundle leaves the bundle", got=repr(name), expected="a plain relative path")
    path = root
    try:
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise BundleError("A path in the bundle goes through a symbolic link", got=repr(name))
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name that the file system cannot encode
        raise BundleError("A file of the bundle is missing", got=name, hint="Export the bundle again.") from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise BundleError("A file of the bundle is not a plain file of its own", got=repr(name))
    return path


def check_folder_of(path: Path | None) -> None:
    """See that a file could be written there, before the work that is to end in it; None is no file.

    Raises:
        OutputError: its folder does not exist or cannot be written, or ``path`` is a folder.
    """
    if path is None:
        return
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        got = "a folder that cannot be written" if path.parent.is_dir() else "no such folder"
        raise OutputError(f"Cannot write {path}", got=got, hint="Make the folder, or name another file.")
    if path.is_dir():
        raise OutputError(f"Cannot write {path}", got="a folder of that name", expected="a file")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to; rename it to ``path`` at the end, or remove it if the block fails.

    Raises:
        OutputError: ``path`` is a folder or a device, the folder is read-only or the disk is full.
    """
    partial = _partial(path)
    try:
        if path.exists() and not path.is_file():
            raise OutputError(f"Cannot write {path}", got="a folder or a device of that name", expected="a file")
        yield partial
        _sync(partial)
        partial.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def atomic_directory(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; rename it to ``path`` at the end, or remove it if the block fails.

    Folders that a killed run left behind are removed first.

    Raises:
        OutputError: ``path`` exists and ``overwrite`` is off or it is no folder, the folder is read-only or the disk is
            full.
    """
    partial = _partial(path)
    try:
        if path.exists() and not path.is_dir():
            raise OutputError(f"Cannot write {path}", got="a file or a device of that name", expected="a folder")
        if path.exists() and not overwrite:
            raise OutputError("The output exists", got=path, hint="Choose another name, or pass --overwrite.")
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        partial.mkdir()
        yield partial
        for file in partial.rglob("*"):
            _sync(file)
        _swap(partial, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, path: Path) -> None:
    """Put ``partial`` in the place of ``path``; what stood there goes only once the new one is complete."""
    if not path.exists():
        partial.rename(path)
        return
    old = partial.with_name(f"{partial.name}-old")
    path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _partial(path: Path) -> Path:
    if not path.name:
        raise OutputError(f"Cannot write {path}", got="a path without a name of its own")
    return path.with_name(f".{path.name}.partial-{_RUN}-{next(_COUNT)}-{os.getpid()}")


def remove_leftovers(path: Path) -> None:
    """Remove what killed runs left of a file or folder that they were writing; what a running one has stays."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        owner = leftover.name.removesuffix("-old").rpartition("-")[2]
        ours = f".partial-{_RUN}-" in leftover.name
        if owner.isdecimal() and not ours and (int(owner) == os.getpid() or not _is_running(int(owner))):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {path}", got=error.strerror or error, hint="Check free space and the folder's permissions."
    )
