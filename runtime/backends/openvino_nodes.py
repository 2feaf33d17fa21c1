"""Times of the nodes of OpenVINO's requests, with the operators and shapes of its compiled models."""

import threading
from collections.abc import Mapping
from math import prod
from typing import Any

from .node_runs import NodeRun, Shape


class OpenVinoNodes:
    """Reads every request after its run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: list[NodeRun] = []
        self._counts: dict[str, int] = {}
        self._known: dict[tuple[str, int], Mapping[str, _Arrays]] = {}

    def note(self, stage: str, request: Any) -> None:
        """Keep the nodes of a request that has run ``stage``."""
        model = request.get_compiled_model()
        with self._lock:
            known = self._known.setdefault((stage, id(model)), {}) or _arrays(model)
            self._known[stage, id(model)] = known
            run = self._counts[stage] = self._counts.get(stage, -1) + 1
            for node in request.profiling_info:
                seconds = node.real_time.total_seconds()
                if seconds:
                    arrays = known.get(node.node_name, _NOTHING)
                    self._runs.append(NodeRun(stage, run, node.node_name, node.node_type, seconds, *arrays))

    def take(self) -> list[NodeRun]:
        """Every node of every run so far."""
        with self._lock:
            return list(self._runs)


_Arrays = tuple[tuple[Shape, ...], tuple[Shape, ...], int]
_NOTHING: _Arrays = ((), (), 0)


def _arrays(model: Any) -> dict[str, _Arrays]:
    """Shapes of what every node of a compiled model reads and writes, and their bytes, by the node's name."""
    arrays = {}
    for operation in model.get_runtime_model().get_ordered_ops():
        ports = operation.inputs(), operation.outputs()
        inputs, outputs = (tuple(tuple(port.get_shape()) for port in side) for side in ports)
        total = sum(port.get_element_type().size * prod(port.get_shape()) for side in ports for port in side)
        arrays[operation.friendly_name] = inputs, outputs, total
    return arrays
