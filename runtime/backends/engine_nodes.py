"""Times of an engine's nodes, TensorRT's layers, as it tells a profiler, and what its inspector knows of each."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from .node_runs import NodeRun, Shape


class EngineNodes:
    """Hears from every context that it was attached to, one profiler a stage.

    A context with a profiler waits for its work after each run: what it takes is no measure of the whole. Operators and
    shapes are known if the engine was built with all its details, as `build` does.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._runs: list[NodeRun] = []
        self._started: dict[str, int] = {}
        self._known: dict[str, Mapping[str, tuple[str, tuple[Shape, ...], tuple[Shape, ...]]]] = {}
        self._profilers: list[object] = []

    def attach(self, stage: str, engine: Any, context: Any) -> None:
        """Listen to a context of ``engine``, which runs ``stage``."""
        note, base = self._note, self._module.IProfiler

        class Adapter(base):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                note(stage, layer_name, ms)

        if stage not in self._known:
            inspector, form = engine.create_engine_inspector(), self._module.LayerInformationFormat.JSON
            layers = (inspector.get_layer_information(index, form) for index in range(engine.num_layers))
            self._known[stage] = dict(map(_details, layers))
        self._profilers.append(Adapter())  # the library keeps no reference
        context.profiler = self._profilers[-1]

    def start(self, stage: str) -> None:
        """A run of ``stage`` begins."""
        self._started[stage] = self._started.get(stage, -1) + 1

    def take(self) -> list[NodeRun]:
        """Every node of every run so far."""
        return list(self._runs)

    def _note(self, stage: str, name: str, milliseconds: float) -> None:
        operator, inputs, outputs = self._known[stage].get(name, ("unknown", (), ()))
        self._runs.append(NodeRun(stage, self._started[stage], name, operator, milliseconds / 1e3, inputs, outputs))


def _details(text: str) -> tuple[str, tuple[str, tuple[Shape, ...], tuple[Shape, ...]]]:
    """A layer's name, type and shapes; an engine built without details has names alone."""
    layer = json.loads(text)
    if not isinstance(layer, dict):
        return str(layer), ("unknown", (), ())
    inputs, outputs = (
        tuple(tuple(array.get("Dimensions", ())) for array in layer.get(side, ())) for side in ("Inputs", "Outputs")
    )
    return layer.get("Name", ""), (layer.get("LayerType", "unknown"), inputs, outputs)
