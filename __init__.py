"""HyperStyle inversion without PyTorch at run time: export checkpoints to bundles, invert and edit photos with them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import HyperStyleDeployError

if TYPE_CHECKING:
    from .runtime.bundle.inversion import Inversion
    from .runtime.bundle.reader import Bundle
    from .runtime.refinement.loop import Step
    from .runtime.session import Session, load

__version__ = "0.1.0"
__all__ = ["Bundle", "HyperStyleDeployError", "Inversion", "Session", "Step", "load"]

# Loaded when first used, so that importing the package and `--help` cost nothing.
_HOMES = {
    "Bundle": ".runtime.bundle.reader",
    "Inversion": ".runtime.bundle.inversion",
    "Session": ".runtime.session",
    "Step": ".runtime.refinement.loop",
    "load": ".runtime.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
