"""ONNX Runtime on the CPU."""

import threading
from collections.abc import Mapping

import onnxruntime

from ...errors import BackendError
from ..bundle import Bundle
from .base import Array, GraphBackend

PROVIDER = "CPUExecutionProvider"
#: Loaded with the session; `offsets` waits until the authors' layout is asked for.
EAGER_STAGES = ("encoder", "hypernet", "weights", "synthesis")


class OnnxRuntimeBackend(GraphBackend):
    """Runs the graphs in ONNX Runtime; ``InferenceSession.run`` is thread-safe, so threads share the sessions."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        super().__init__(bundle)
        self._threads = threads
        self._lock = threading.Lock()
        self._sessions = {stage: self._load(stage) for stage in EAGER_STAGES}

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        try:
            return self._session(stage).run(None, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no base class but this one.
            raise BackendError(f"ONNX Runtime failed in {stage}", got=str(error)[:400]) from error

    def _session(self, stage: str) -> onnxruntime.InferenceSession:
        if stage not in self._sessions:
            with self._lock:
                if stage not in self._sessions:
                    self._sessions[stage] = self._load(stage)
        return self._sessions[stage]

    def _load(self, stage: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        # A planned memory pattern holds every activation of `synthesis` at once: 570 MB more at 1024, no faster.
        options.enable_mem_pattern = False
        # Stages run one after another: spinning threads of one would take the cores from the next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if stage in ("weights", "offsets"):
            # Packing would copy the 1.07 GB of constants that are otherwise mapped from the file.
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            session = onnxruntime.InferenceSession(self.bundle.graph(stage), options, providers=[PROVIDER])
        except Exception as error:  # as in run
            raise BackendError(f"ONNX Runtime cannot load {stage}", got=str(error)[:400]) from error
        if session.get_providers() != [PROVIDER]:
            raise BackendError("ONNX Runtime fell back to another provider", got=session.get_providers(), expected=PROVIDER)
        return session
