"""The refinement loop on graphs in memory, in ONNX Runtime: some tensors watched, some layers quantized."""

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import CalibrationError
from ..runtime.backends.base import Array, GraphBackend
from ..runtime.bundle.reader import Bundle
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
        options = onnxruntime.SessionOptions()
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(bundle.path))
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise CalibrationError(
                f"ONNX Runtime cannot load {model.graph.name} for calibration", got=str(error)[:400]
            ) from error

    def run(self, inputs: Mapping[str, Array], watch: Watch | None = None) -> list[Array]:
        """Run the graph; its outputs in order. ``watch`` is called with every watched tensor."""
        outputs = self._session.run([*self._outputs, *self._watched], dict(inputs))
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


class LoopBackend(GraphBackend):
    """Runs the loop on sessions that can be exchanged; an encoder's codes are kept while nobody watches it."""

    name = "calibration"

    def __init__(
        self, bundle: Bundle, watch: Callable[[str, int, str, NDArray[np.float32]], None] | None = None
    ) -> None:
        super().__init__(bundle)
        self.sessions: dict[str, MemorySession] = {}
        self._watch, self._calls = watch, 0
        self._codes: dict[bytes, tuple[MemorySession, Array]] = {}

    def encode(self, image: Array) -> Array:
        if self._watch is not None:
            return super().encode(image)
        digest = hashlib.sha256(np.ascontiguousarray(image).data).digest()
        session, codes = self._codes.get(digest, (None, None))
        if session is None or session is not self.sessions.get("encoder"):
            codes = super().encode(image)
            self._codes[digest] = self.sessions["encoder"], codes
        return codes

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        if stage not in self.sessions:
            model = onnx.load(self.bundle.graph(stage), load_external_data=False)
            self.sessions[stage] = MemorySession(self.bundle, model)
        step = 0
        if stage == "hypernet":
            self._calls += 1
            step = self._calls
        watch = self._watch
        if watch is None:
            return self.sessions[stage].run(inputs)
        return self.sessions[stage].run(inputs, lambda name, array: watch(stage, step, name, array))

    def images(self, photo: NDArray[np.float32], steps: int) -> list[NDArray[np.float32]]:
        """The image after every step of one photo's loop, [3, height, width] each; step 0 first."""
        self._calls = 0
        return [step.image[0] for step in refine(self, self.bundle.manifest, photo[None], steps)]
