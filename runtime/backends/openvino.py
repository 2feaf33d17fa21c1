"""OpenVINO on the CPU, for the graphs that convolve."""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino.frontend import FrontEndManager

from ...errors import BackendError
from ..bundle.reader import Bundle
from ..methods.base import Array
from .gradient_check import check_gradients
from .host import HostBackend
from .node_runs import NodeRun
from .onnxruntime import Sessions, eager_graphs
from .openvino_nodes import OpenVinoNodes

PRECISION_HINTS = ("f32", "bf16")
#: Graphs that are matrix products over large constants.
PRODUCTS = ("weights", "offsets")


class OpenVinoBackend(HostBackend):
    """Runs the convolving graphs in OpenVINO, compiled for the batch they meet: fixed shapes let it fuse modulation.

    `weights` and `offsets` are matrix products over 1.07 GB of constants, which OpenVINO would copy: they run in ONNX
    Runtime, which maps them, takes less time and loads them at once. ``precision_hint`` "bf16" lets OpenVINO compute in
    bfloat16 where the processor can; "f32" is exact. A request is not safe to share, so each thread has its own.
    """

    name = "openvino"

    def __init__(self, bundle: Bundle, threads: int | None, precision_hint: str, nodes: bool = False) -> None:
        super().__init__(bundle)
        if precision_hint not in PRECISION_HINTS:
            raise BackendError("Unknown precision hint", got=precision_hint, expected=" or ".join(PRECISION_HINTS))
        if precision_hint == "bf16" and bundle.method.gradient_graphs():
            raise BackendError(f"{bundle.method.name} computes in float32", got="precision hint bf16", expected="f32")
        if precision_hint == "bf16":
            self.precision = "bf16"
        self._config = {
            "INFERENCE_NUM_THREADS": threads or _processors(),
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision_hint,
            "PERF_COUNT": nodes,
        }
        self._nodes = OpenVinoNodes() if nodes else None
        self._core = openvino.Core()
        self._lock = threading.Lock()
        self._requests = threading.local()
        loop = eager_graphs(bundle)
        self.products = Sessions(bundle, threads, [graph for graph in loop if graph in PRODUCTS], nodes)
        with ThreadPoolExecutor() as pool:
            first = [(graph, 1) for graph in loop if graph not in PRODUCTS]
            self._compiled = dict(zip(first, pool.map(lambda key: self._build(*key), first), strict=True))
        if bundle.method.gradient_graphs():
            check_gradients(self, Sessions(bundle, threads, ()))

    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        if graph in PRODUCTS:
            return self.products.run(graph, inputs)
        # The first input of every convolving graph is the one with the free batch.
        request = self._request(graph, next(iter(inputs.values())).shape[0])
        try:
            request.infer({name: np.asarray(array, order="C") for name, array in inputs.items()}, share_inputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed in {graph}", got=str(error)[:400]) from error
        if self._nodes is not None:
            self._nodes.note(graph, request)
        # The request's next run overwrites its buffers.
        return [request.get_output_tensor(index).data.copy() for index in range(len(request.model_outputs))]

    def expose(self, graph: str, names: Sequence[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a convolving graph and bring out tensors inside it, compiled for that; those it lacks are left out."""
        model = self._read(graph, next(iter(inputs.values())).shape[0])
        there = {name for node in model.get_ops() for output in node.outputs() for name in output.get_names()}
        found = [name for name in names if name in there]
        results = {value.get_any_name() for value in model.outputs}
        model.add_outputs([name for name in found if name not in results])
        request = self._core.compile_model(model, "CPU", self._config).create_infer_request()
        wanted = {name for value in model.inputs for name in value.get_names()}
        request.infer({name: np.asarray(array, order="C") for name, array in inputs.items() if name in wanted})
        return {name: request.get_tensor(name).data.copy() for name in found}

    def node_runs(self) -> list[NodeRun]:
        return [*(self._nodes.take() if self._nodes else ()), *self.products.node_runs()]

    def _request(self, graph: str, batch: int) -> Any:
        requests = self._requests.__dict__.setdefault("by_shape", {})
        if (graph, batch) not in requests:
            requests[graph, batch] = self._compile(graph, batch).create_infer_request()
        return requests[graph, batch]

    def _compile(self, graph: str, batch: int) -> Any:
        with self._lock:
            if (graph, batch) not in self._compiled:
                self._compiled[graph, batch] = self._build(graph, batch)
            return self._compiled[graph, batch]

    def _read(self, graph: str, batch: int) -> Any:
        inputs = self.bundle.manifest.graphs[graph].inputs
        model = _model(self.bundle.unchanged_graph(graph))
        model.reshape({t.name: [batch if isinstance(dim, str) else dim for dim in t.shape] for t in inputs})
        return model

    def _build(self, graph: str, batch: int) -> Any:
        try:
            return self._core.compile_model(self._read(graph, batch), "CPU", self._config)
        except Exception as error:  # its frontend's errors have only that in common
            raise BackendError(f"OpenVINO cannot load {graph}", got=str(error)[:400]) from error


def run_once(path: Path, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs of a graph of fixed shapes in order, computed in float32."""
    compiled = openvino.Core().compile_model(_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(dict(inputs))
    return [np.array(results[index]) for index in range(len(compiled.outputs))]


def _model(path: Path) -> Any:
    # As what it is: OpenVINO would take a file that looks like its own format for that, and follow its paths.
    # Not from memory: there it copies all constants, a gigabyte of an encoder's at 1024.
    frontend = FrontEndManager().load_by_framework("onnx")
    return frontend.convert(frontend.load(str(path)))


def _processors() -> int:
    """Processors that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
