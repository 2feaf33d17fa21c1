"""Compare a written graph with the PyTorch stage it came from."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from ..errors import ExportError
from ..runtime.tolerance import TOLERANCE
from .graphs import Graph


@torch.no_grad()
def compare(graph: Graph, path: Path) -> float:
    """Run the graph in ONNX Runtime and the stage in PyTorch on the same inputs.

    Returns:
        The largest absolute difference over all outputs.

    Raises:
        ExportError: naming every output past the tolerance, with its maximum difference.
    """
    expected = [t.numpy() for t in torch.utils._pytree.tree_leaves(graph.module(*graph.args))]
    arguments = [t.contiguous().numpy() for t in torch.utils._pytree.tree_leaves(graph.args)]
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = session.run(list(graph.outputs), dict(zip(graph.inputs, arguments, strict=True)))
    differences = {
        name: float(np.max(np.abs(got - want))) if got.shape == want.shape else float("inf")
        for name, got, want in zip(graph.outputs, outputs, expected, strict=True)
    }
    limits = {
        name: TOLERANCE["float32"] * max(1.0, float(np.max(np.abs(want))))
        for name, want in zip(graph.outputs, expected, strict=True)
    }
    # A NaN difference must fail, so the comparison asks for what is within the limit.
    failing = [f"{name}: {differences[name]:.2e}" for name in graph.outputs if not differences[name] <= limits[name]]
    if failing:
        raise ExportError(
            f"The graph {graph.name} disagrees with PyTorch",
            got="; ".join(failing),
            expected=f"differences up to {TOLERANCE['float32']:.0e}",
        )
    return max(differences.values())
