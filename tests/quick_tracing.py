"""Tracing in a part of the time, for tests that export dozens of tiny graphs."""

from functools import cache
from typing import Any


@cache
def quicken_tracing() -> None:
    """Spare PyTorch what it does anew for every graph and no test looks at, from now on in this process.

    It parses the sources of hundreds of translations of operators, and copies the whole history of a node for every
    node that follows from it. Both are PyTorch's own affair: where it has changed, tests are slow again, and right.
    """
    from torch.fx.traceback import NodeSource
    from torch.onnx._internal.exporter import _registration

    registry: Any = getattr(_registration, "ONNXRegistry", None)
    if hasattr(registry, "from_torchlib"):
        registry.from_torchlib = staticmethod(cache(registry.from_torchlib))
    NodeSource.__deepcopy__ = lambda source, memo: source
