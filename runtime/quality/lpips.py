"""LPIPS, from the package `lpips` and AlexNet's weights, where a user has both; nothing is ever downloaded."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...install_hint import install_command

#: What torchvision calls AlexNet's weights, which `lpips` loads through it.
WEIGHTS = "alexnet-owt-7be5be79.pth"


def missing_lpips() -> str | None:
    """What is missing for LPIPS and how to get it, in a sentence; None if all is there."""
    if absent := [name for name in ("lpips", "torch", "torchvision") if find_spec(name) is None]:
        return f"LPIPS needs {', '.join(absent)}. Install it with: {install_command('lpips')}"
    weights = _hub() / "checkpoints" / WEIGHTS
    if not weights.is_file():
        return (
            f"LPIPS needs AlexNet's weights in {weights}. PyTorch fetches them (233 MB) with: "
            "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\""
        )
    return None


def open_lpips() -> Callable[[NDArray[np.float32], NDArray[np.float32]], float]:
    """LPIPS with AlexNet, version 0.1, of two pictures [3, 256, 256] float32 in [-1, 1] (Zhang et al. 2018).

    Raises:
        BackendError: the package or the weights are missing.
    """
    if (missing := missing_lpips()) is not None:
        raise BackendError("LPIPS cannot be computed", hint=missing)
    import torch
    from lpips import LPIPS

    network = LPIPS(net="alex", version="0.1", verbose=False).eval()

    @torch.no_grad()
    def measure(result: NDArray[np.float32], original: NDArray[np.float32]) -> float:
        return float(network(torch.from_numpy(result)[None], torch.from_numpy(original)[None]))

    return measure


def _hub() -> Path:
    """Where PyTorch keeps weights, by its own rules, asked without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser() / "hub"
