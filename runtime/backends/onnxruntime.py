"""ONNX Runtime on the CPU: the one place that opens its sessions on a bundle's graphs, and the backend on them."""

import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

import onnxruntime

from ...errors import BackendError
from ..bundle.reader import Bundle
from ..methods.base import Array
from .host import HostBackend
from .node_runs import NodeRun, Shape
from .onnx_session import open_session, session_options

#: Graphs that the loop does not run: offsets by themselves, and many codes of one person.
ON_REQUEST = ("offsets", "synthesis")
#: The beginning of the names of those that a host does without: NumPy does it in place.
_DEVICE_ONLY = "adam_"


def eager_graphs(bundle: Bundle) -> list[str]:
    """The graphs of a bundle that are loaded at once; the others when they are first run."""
    method = bundle.method
    late = {*ON_REQUEST, *method.syntheses[: 2 if method.own_drawing else 1]}
    return [graph for graph in method.signatures() if graph not in late and not graph.startswith(_DEVICE_ONLY)]


class Sessions:
    """ONNX Runtime sessions of a bundle's graphs, ``eager`` ones loaded at once and the others when first run.

    With ``nodes`` they note the time of every node; ``node_runs`` hands it over, once.
    """

    def __init__(self, bundle: Bundle, threads: int | None, eager: Sequence[str], nodes: bool = False) -> None:
        self._bundle, self._threads = bundle, threads
        self._notes = tempfile.TemporaryDirectory(prefix="hyperstyle-deploy-") if nodes else None
        self._lock = threading.Lock()
        with ThreadPoolExecutor() as pool:
            self._loaded = dict(zip(eager, pool.map(self._load, eager), strict=True))

    def run(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a graph; its outputs in order. Safe to call from several threads.

        Raises:
            BackendError: ONNX Runtime cannot load or run it.
        """
        try:
            return self._session(graph).run(None, dict(inputs))
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed in {graph}", got=str(error)[:400]) from error

    def node_runs(self) -> list[NodeRun]:
        """The nodes of every run so far.

        Raises:
            BackendError: the sessions were not asked to note them.
        """
        if self._notes is None:
            raise BackendError("ONNX Runtime was not asked to note the times of nodes")
        return [
            run
            for stage, session in self._loaded.items()
            for run in _read_profile(stage, json.loads(Path(session.end_profiling()).read_bytes()))
        ]

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        if graph not in self._loaded:
            with self._lock:
                if graph not in self._loaded:
                    self._loaded[graph] = self._load(graph)
        return self._loaded[graph]

    def options(self) -> onnxruntime.SessionOptions:
        """How a graph is loaded."""
        return session_options(self._threads)

    def _load(self, graph: str) -> onnxruntime.InferenceSession:
        options = self.options()
        if self._notes is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(Path(self._notes.name) / graph)
        return open_session(self._bundle.graph_content(graph), options, name=graph, folder=self._bundle.place)


class OnnxRuntimeBackend(HostBackend):
    """Runs every graph in ONNX Runtime; those that are not in the loop are loaded when first needed."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int | None, nodes: bool = False) -> None:
        super().__init__(bundle)
        self.sessions = Sessions(bundle, threads, eager_graphs(bundle), nodes)

    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        return self.sessions.run(graph, inputs)

    def node_runs(self) -> list[NodeRun]:
        return self.sessions.node_runs()


def _read_profile(stage: str, events: list[dict[str, Any]]) -> list[NodeRun]:
    """Nodes out of the events that ONNX Runtime writes: microseconds, a node's within the run that it is part of."""
    starts = sorted(event["ts"] for event in events if event.get("name") == "SequentialExecutor::Execute")
    nodes = []
    for event in sorted(events, key=lambda event: event.get("ts", 0)):
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        arguments = event["args"]
        (inputs, read), (outputs, written) = (_shapes(arguments[f"{side}_type_shape"]) for side in ("input", "output"))
        name = event["name"].removesuffix("_kernel_time")
        run = sum(start <= event["ts"] for start in starts) - 1
        seconds = event["dur"] / 1e6
        nodes.append(NodeRun(stage, run, name, arguments["op_name"], seconds, inputs, outputs, read + written))
    return nodes


#: Bytes of an element, by ONNX Runtime's names of types.
_ITEM_BYTES = {"float": 4, "float16": 2, "bfloat16": 2, "double": 8, "int64": 8, "int32": 4, "uint8": 1, "int8": 1}


def _shapes(arrays: list[dict[str, list[int]]]) -> tuple[tuple[Shape, ...], int]:
    """Shapes of arrays given as ``[{"float": [1, 512]}, ...]``, and their bytes."""
    described = [(dtype, tuple(shape)) for array in arrays for dtype, shape in array.items()]
    total = sum(_ITEM_BYTES.get(dtype, 4) * prod(shape) for dtype, shape in described)
    return tuple(shape for _, shape in described), total
