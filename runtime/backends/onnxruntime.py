"""ONNX Runtime on the CPU."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import onnxruntime

from ...errors import BackendError
from ..bundle import Bundle
from .base import Array, GraphBackend

PROVIDER = "CPUExecutionProvider"


class Sessions:
    """ONNX Runtime sessions of a bundle's graphs, ``eager`` ones loaded at once and the others when first run."""

    def __init__(self, bundle: Bundle, threads: int | None, eager: tuple[str, ...]) -> None:
        self._bundle, self._threads = bundle, threads
        self._lock = threading.Lock()
        with ThreadPoolExecutor() as pool:
            self._loaded = dict(zip(eager, pool.map(self._load, eager), strict=True))

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        """Run a graph; its outputs in order. Safe to call from several threads.

        Raises:
            BackendError: ONNX Runtime cannot load or run it.
        """
        try:
            return self._session(stage).run(None, dict(inputs))
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed in {stage}", got=str(error)[:400]) from error

    def _session(self, stage: str) -> onnxruntime.InferenceSession:
        if stage not in self._loaded:
            with self._lock:
                if stage not in self._loaded:
                    self._loaded[stage] = self._load(stage)
        return self._loaded[stage]

    def _load(self, stage: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or 0
        # A planned memory pattern holds every activation of `synthesis_one` at once: 0.76 GB more at 1024.
        options.enable_mem_pattern = False
        # Stages run one after another: spinning threads of one would take the cores from the next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if stage in ("weights", "offsets") and self._bundle.manifest.quantization is None:
            # Packing copies constants that are mapped from the file otherwise: 0.8 s more at load, no faster at 1024.
            # Matrices in INT8 are thirty times slower without it.
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            session = onnxruntime.InferenceSession(self._bundle.graph(stage), options, providers=[PROVIDER])
        except Exception as error:
            raise BackendError(f"ONNX Runtime cannot load {stage}", got=str(error)[:400]) from error
        if session.get_providers() != [PROVIDER]:
            raise BackendError(
                "ONNX Runtime fell back to another provider", got=session.get_providers(), expected=PROVIDER
            )
        return session


class OnnxRuntimeBackend(GraphBackend):
    """Runs every graph in ONNX Runtime; `synthesis` for several codes and `offsets` are loaded when first needed."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        super().__init__(bundle)
        self._sessions = Sessions(bundle, threads, ("encoder", "hypernet", "weights", "synthesis_one"))

    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        return self._sessions.run(stage, inputs)
