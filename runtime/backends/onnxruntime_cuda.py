"""ONNX Runtime's CUDA provider on the loop's own memory and stream: for GPUs where TensorRT cannot be installed."""

from collections.abc import Mapping

import numpy as np
import onnxruntime

from ...errors import BackendError
from ...install_hint import install_command
from ..bundle.reader import Bundle
from .device import StageRunner
from .memory import Device, DeviceArray

PROVIDER = "CUDAExecutionProvider"
#: ONNX's codes of dtypes that numpy lacks.
BFLOAT16 = 16


class OnnxRuntimeRunner(StageRunner):
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
        self._sessions = {stage: self._load(stage) for stage in ("encoder", "hypernet", "offsets", "synthesis_one")}
        self._run_options = onnxruntime.RunOptions()
        # The stream keeps the order; waiting after every stage would only cost time.
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def run(self, stage: str, arrays: Mapping[str, DeviceArray]) -> None:
        if stage not in self._sessions:
            self._sessions[stage] = self._load(stage)
        session, spec = self._sessions[stage], self._bundle.manifest.graphs[stage]
        binding = session.io_binding()
        for tensors, bind in ((spec.inputs, binding.bind_input), (spec.outputs, binding.bind_output)):
            for tensor in tensors:
                array = arrays[tensor.name]
                dtype = BFLOAT16 if array.dtype == "bfloat16" else np.dtype(array.dtype)
                bind(tensor.name, "cuda", self._index, dtype, array.shape, array.pointer)
        try:
            session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed in {stage}", got=str(error)[:400]) from error

    def _load(self, stage: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        # A node that fell back to the CPU would copy its inputs there and back in every step.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = onnxruntime.InferenceSession(
                self._bundle.graph(stage), options, providers=[(PROVIDER, self._options)]
            )
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load {stage} on the GPU", got=str(error)[:400]) from error
        if PROVIDER not in session.get_providers():
            raise BackendError(
                "ONNX Runtime fell back to another provider", got=session.get_providers(), expected=PROVIDER
            )
        return session
