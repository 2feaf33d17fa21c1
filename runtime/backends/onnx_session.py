"""The one place that opens ONNX Runtime sessions: on a graph's file, or on a graph in memory."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime
from onnxruntime import InferenceSession, SessionOptions

from ...errors import BackendError

CPU = "CPUExecutionProvider"


def session_options(threads: int | None = None, *, plain: bool = False) -> SessionOptions:
    """How graphs are loaded.

    Args:
        threads: CPU threads of a run; None for ONNX Runtime's choice.
        plain: every node by itself and nothing rearranged: what results are held against.
    """
    options = SessionOptions()
    options.intra_op_num_threads = threads or 0
    # A planned memory pattern holds every activation of `synthesis_one` at once: 0.76 GB more at 1024.
    options.enable_mem_pattern = False
    # Graphs run one after another: spinning threads of one would take the cores from the next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def open_session(
    graph: Path | bytes,
    options: SessionOptions,
    *,
    name: str,
    folder: Path | None = None,
    provider: str = CPU,
    provider_options: Mapping[str, str] | None = None,
) -> InferenceSession:
    """Load a graph.

    Args:
        graph: an ONNX file, or its contents.
        options: as ``session_options`` makes them.
        name: what the graph is called in errors.
        folder: where the constants of a graph in memory are; they are mapped.
        provider: what runs it: this one, and no other in its place.
        provider_options: its options.

    Raises:
        BackendError: ONNX Runtime cannot load the graph, or would run it elsewhere.
    """
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    try:
        session = InferenceSession(graph, options, providers=[(provider, dict(provider_options or {}))])
    except Exception as error:  # its types are the C++ library's own, and have no common base but this
        raise BackendError(f"ONNX Runtime cannot load {name}", got=str(error)[:400]) from error
    if session.get_providers()[0] != provider:
        raise BackendError("ONNX Runtime fell back to another provider", got=session.get_providers(), expected=provider)
    return session
