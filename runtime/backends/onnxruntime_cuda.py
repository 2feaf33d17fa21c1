"""ONNX Runtime's CUDA provider on the loop's own memory and stream: for GPUs where TensorRT cannot be installed."""

from collections.abc import Mapping

import numpy as np
import onnxruntime

from ...errors import BackendError
from ...install_hint import install_command
from ..bundle.reader import Bundle
from .device import GraphRunner, loop_graphs
from .memory import Device, DeviceArray
from .onnx_session import open_session, session_options

PROVIDER = "CUDAExecutionProvider"
#: ONNX's codes of dtypes that numpy lacks.
BFLOAT16 = 16


class OnnxRuntimeRunner(GraphRunner):
    """Runs graphs through IO binding: inputs and outputs stay where they are in device memory."""

    name = "onnxruntime-cuda"
    recordable = False

    def __init__(self, bundle: Bundle, device: Device, index: int) -> None:
        if PROVIDER not in onnxruntime.get_available_providers():
            raise BackendError(
                "ONNX Runtime has no CUDA provider here",
                got=", ".join(onnxruntime.get_available_providers()),
                expected=PROVIDER,
                hint=f"pip uninstall onnxruntime, then: {install_command('gpu')}",
            )
        self._bundle, self._index = bundle, index
        # float32 means float32: TF32 would round the inputs of products to 10 bits.
        self._options = {"device_id": str(index), "user_compute_stream": str(device.stream), "use_tf32": "0"}
        self._sessions = {graph: self._load(graph) for graph in loop_graphs(bundle.method)}
        self._run_options = onnxruntime.RunOptions()
        # The stream keeps the order; waiting after every graph would only cost time.
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(self, graph: str, arrays: Mapping[str, DeviceArray]) -> None:
        if graph not in self._sessions:
            self._sessions[graph] = self._load(graph)
        session, spec = self._sessions[graph], self._bundle.manifest.graphs[graph]
        binding = session.io_binding()
        for tensors, bind in ((spec.inputs, binding.bind_input), (spec.outputs, binding.bind_output)):
            for tensor in tensors:
                array = arrays[tensor.name]
                dtype = BFLOAT16 if array.dtype == "bfloat16" else np.dtype(array.dtype)
                bind(tensor.name, "cuda", self._index, dtype, array.shape, array.pointer)
        try:
            session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed in {graph}", got=str(error)[:400]) from error

    def _load(self, graph: str) -> onnxruntime.InferenceSession:
        options = session_options()
        # A node that fell back to the CPU would copy its inputs there and back in every step.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return open_session(
            self._bundle.graph_content(graph),
            options,
            name=graph,
            folder=self._bundle.place,
            provider=PROVIDER,
            provider_options=self._options,
        )
