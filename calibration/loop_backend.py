"""The refinement loop on graphs in memory, in ONNX Runtime: some tensors watched, some layers quantized."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import BackendError
from ..runtime.backends.host import HostBackend
from ..runtime.backends.onnx_session import open_session, session_options
from ..runtime.bundle.reader import Bundle
from ..runtime.methods.base import Array
from ..runtime.refinement.loop import refine
from .quantization import Quantized

Watch = Callable[[str, NDArray[np.float32]], None]


class MemorySession:
    """A session on a graph in memory whose large constants are still in a bundle's files."""

    def __init__(self, bundle: Bundle, model: onnx.ModelProto, watched: Iterable[str] = ()) -> None:
        self._outputs = [value.name for value in model.graph.output]
        inputs = {value.name for value in model.graph.input}
        self._watched_inputs = [name for name in watched if name in inputs]
        self._watched = [name for name in watched if name not in inputs]
        for name in self._watched:
            if name not in self._outputs:
                model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        self._name = model.graph.name
        self._session = open_session(
            model.SerializeToString(), session_options(), name=f"{self._name} for calibration", folder=bundle.path
        )

    def run(self, inputs: Mapping[str, Array], watch: Watch | None = None) -> list[Array]:
        """Run the graph; its outputs in order. ``watch`` is called with every watched tensor.

        Raises:
            BackendError: ONNX Runtime cannot run it.
        """
        try:
            outputs = self._session.run([*self._outputs, *self._watched], dict(inputs))
        except Exception as error:  # its types are the C++ library's own
            raise BackendError(f"ONNX Runtime failed in {self._name}", got=str(error)[:400]) from error
        if watch is not None:
            for name in self._watched_inputs:
                watch(name, inputs[name])
            for name, array in zip(self._watched, outputs[len(self._outputs) :], strict=True):
                watch(name, array)
        return outputs[: len(self._outputs)]


def with_constants(quantized: Quantized) -> onnx.ModelProto:
    """A quantized graph with its new constants inside it: to be run, not to be kept."""
    model = quantized.model
    for name, array in quantized.constants.items():
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


class LoopBackend(HostBackend):
    """Runs the loop on sessions that can be exchanged; what a photo alone gives is kept while nobody watches.

    ``watch`` is called with stage, step, tensor and its values: the step that comes out of the run, 0 for the start.
    """

    name = "calibration"

    def __init__(
        self, bundle: Bundle, watch: Callable[[str, int, str, NDArray[np.float32]], None] | None = None
    ) -> None:
        super().__init__(bundle)
        self.sessions: dict[str, MemorySession] = {}
        self._watch, self._step = watch, 0
        self._kept: dict[tuple[str, bytes], tuple[MemorySession, list[Array]]] = {}

    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        if graph not in self.sessions:
            model = onnx.load(self.bundle.graph(graph), load_external_data=False)
            self.sessions[graph] = MemorySession(self.bundle, model)
        session, watch = self.sessions[graph], self._watch
        if watch is not None:
            return session.run(inputs, lambda name, array: watch(graph, self._step, name, array))
        if list(inputs) != ["image"]:
            return session.run(inputs)
        key = graph, hashlib.sha256(np.ascontiguousarray(inputs["image"]).data).digest()
        if key not in self._kept or self._kept[key][0] is not session:
            self._kept[key] = session, session.run(inputs)
        return self._kept[key][1]

    def images(self, photo: NDArray[np.float32], steps: int) -> list[NDArray[np.float32]]:
        """The image after every step of one photo's loop, [3, height, width] each; step 0 first."""
        images, self._step = [], 0
        for step in refine(self, photo[None], steps):
            images.append(step.image[0])
            self._step = step.index + 1
        return images
