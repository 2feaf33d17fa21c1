"""Where this user's own files live: what must not be lost, and what can be made again."""

import os
import sys
from pathlib import Path

_NAME = "hyperstyle-deploy"


def state_folder() -> Path:
    """The folder of what must not be lost; ``HYPERSTYLE_DEPLOY_STATE`` names another. It need not exist yet."""
    return _folder("HYPERSTYLE_DEPLOY_STATE", "XDG_STATE_HOME", ".local/state", "state")


def cache_folder() -> Path:
    """The folder of what can be made again; ``HYPERSTYLE_DEPLOY_CACHE`` names another. It need not exist yet."""
    return _folder("HYPERSTYLE_DEPLOY_CACHE", "XDG_CACHE_HOME", ".cache", "cache")


def _folder(own: str, shared: str, below_home: str, kind: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / _NAME / kind
    if sys.platform == "darwin":
        return Path.home() / "Library" / ("Caches" if kind == "cache" else "Application Support") / _NAME
    # As the XDG specification says: a relative path there is ignored.
    base = Path(os.environ.get(shared) or "")
    return (base if base.is_absolute() else Path.home() / below_home) / _NAME
