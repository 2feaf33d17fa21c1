"""Whose engines: a seal that only this user's builds carry, because an engine runs code when it is loaded.

A seal is an HMAC-SHA256 over an engine's entry in the record (checksum of the file, recipe, everything) under a secret
key of 32 bytes in the user's state folder, made on the first build and readable by that user alone.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from ....errors import EngineError, OutputError
from ...bundle.user_folders import cache_folder, state_folder
from .record import Engine, canonical

KEY_NAME = "engine-key"
_KEY_BYTES = 32


def own_key() -> bytes:
    """This user's key, made if there is none.

    Raises:
        EngineError: the key is not private to this user.
        OutputError: the key cannot be written.
    """
    path = state_folder() / KEY_NAME
    key = _read_key(path)
    return key if key is not None else _make_key(path)


def seal(engine: Engine, key: bytes) -> str:
    """The seal of an engine that was just built here, 64 hexadecimal digits."""
    entry = {name: value for name, value in asdict(engine).items() if name != "seal"}
    return hmac.new(key, canonical(entry), hashlib.sha256).hexdigest()


def is_sealed(engine: Engine) -> bool:
    """Whether this user built the engine, and its entry in the record has not changed since.

    Raises:
        EngineError: the key is not private to this user.
    """
    key = _read_key(state_folder() / KEY_NAME)
    return key is not None and hmac.compare_digest(seal(engine, key).encode(), engine.seal.encode())


def runtime_cache(engine: Engine, compute_capability: int) -> Path:
    """Where the run-time kernels of a TensorRT-RTX engine are kept, for one GPU's compute capability.

    They are executable, belong to one library version and are made again at no loss, so they live in the user's cache
    and never in a bundle. The folder need not exist.
    """
    name = f"{engine.recipe.stage}-{engine.sha256[:16]}-{engine.recipe.library}-sm{compute_capability}.cache"
    return cache_folder() / engine.recipe.target / name


def _read_key(path: Path) -> bytes | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    private = not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
    if not (stat.S_ISREG(status.st_mode) and private and status.st_size == _KEY_BYTES):
        raise EngineError(
            f"{path} cannot vouch for engines",
            got=f"mode {status.st_mode & 0o777:o}, owner {status.st_uid}, {status.st_size} bytes",
            expected=f"a file of {_KEY_BYTES} bytes that this user alone can read",
            hint="Delete it, then build the engines again.",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise EngineError(f"Cannot read {path}", got=error.strerror or error) from error


def _make_key(path: Path) -> bytes:
    """Write a new key, unless another process was faster; return the one that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, partial = tempfile.mkstemp(prefix=f".{KEY_NAME}.", dir=path.parent)  # for this user alone
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(_KEY_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(partial, path)
        finally:
            os.unlink(partial)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}",
            got=error.strerror or error,
            hint="HYPERSTYLE_DEPLOY_STATE names another folder for it.",
        ) from error
    key = _read_key(path)
    assert key is not None
    return key
