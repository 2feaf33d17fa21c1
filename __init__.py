"""HyperStyle inversion without PyTorch at run time: export checkpoints to bundles, invert and edit photos with them."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import HyperStyleDeployError

if TYPE_CHECKING:
    from .runtime.bundle.inversion import Inversion
    from .runtime.bundle.reader import Bundle
    from .runtime.editing.change import Mix
    from .runtime.editing.direction import Direction
    from .runtime.editing.trajectory import Trajectory
    from .runtime.refinement.loop import Step
    from .runtime.session import Session, load

__version__ = "0.1.0"

# ONNX Runtime sends telemetry to its makers unless this is set before it is imported (its Privacy.md). Nobody who
# inverts a photo asked for that; whoever wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Bundle",
    "Direction",
    "HyperStyleDeployError",
    "Inversion",
    "Mix",
    "Session",
    "Step",
    "Trajectory",
    "load",
]

# Loaded when first used, so that importing the package and `--help` cost nothing.
_HOMES = {
    "Bundle": ".runtime.bundle.reader",
    "Direction": ".runtime.editing.direction",
    "Inversion": ".runtime.bundle.inversion",
    "Mix": ".runtime.editing.change",
    "Session": ".runtime.session",
    "Step": ".runtime.refinement.loop",
    "Trajectory": ".runtime.editing.trajectory",
    "load": ".runtime.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
