"""Compare a written graph with the PyTorch stage it came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ExportError
from ..runtime.backends import missing
from ..runtime.backends.gradient_check import GRADIENT_TOLERANCE, relative_difference
from ..runtime.backends.onnx_session import open_session, session_options
from .graphs import Graph
from .precision import FLOAT32, Precision
from .rounded import RoundedGraph


@torch.no_grad()
def outputs_of(graph: Graph) -> list[Tensor]:
    """What the stage gives for its sample inputs."""
    return torch.utils._pytree.tree_leaves(graph.module(*graph.args))


def compare(graph: Graph, path: Path, expected: Sequence[Tensor], precision: Precision = FLOAT32) -> float:
    """Run the graph in ONNX Runtime on the stage's sample inputs, in 16 bits with every result rounded.

    Args:
        graph: the stage.
        path: the ONNX file.
        expected: what the stage gives in float32; for 16 bits ``Precision.exact``'s stage, unrounded constants and all.
        precision: of the graph.

    Returns:
        The largest absolute difference over all outputs.

    Raises:
        ExportError: naming every output past the tolerance, with its maximum difference; or where FP16 ends.
    """
    outputs = _run(graph, path, precision)
    wanted = [tensor.numpy() for tensor in expected]
    differences = {
        name: float(np.max(np.abs(got - want))) if got.shape == want.shape else float("inf")
        for name, got, want in zip(graph.outputs, outputs, wanted, strict=True)
    }
    # Sixteen bits round relative to what they hold, and that is never far from its peak.
    floor = 0.0 if precision.rescaled else 1.0
    limits = {
        name: precision.tolerance * max(floor, float(np.max(np.abs(want))))
        for name, want in zip(graph.outputs, wanted, strict=True)
    }
    # A NaN difference must fail, so the comparison asks for what is within the limit.
    failing = [f"{name}: {differences[name]:.2e}" for name in graph.outputs if not differences[name] <= limits[name]]
    if failing:
        overflow = _overflow(graph, path) if precision.rescaled else None
        raise ExportError(
            f"The graph {graph.name} disagrees with PyTorch",
            got="; ".join(failing) + (f". Not finite: {overflow}" if overflow else ""),
            expected=f"differences up to {precision.tolerance:.0e}",
            hint=f"{precision.name} cannot hold this model: export it in bf16 or fp32." if overflow else None,
        )
    return max(differences.values())


def compare_gradient(graph: Graph, path: Path, expected: Sequence[Tensor]) -> dict[str, float]:
    """Run a gradient graph in ONNX Runtime and hold every output against float64, in norm.

    Where OpenVINO is installed the graph runs there, too, and is held against ONNX Runtime: it has been seen to give
    wrong gradients without a word.

    Args:
        graph: the gradient graph.
        path: the ONNX file.
        expected: its outputs by PyTorch's autograd in float64.

    Returns:
        ``|got - expected| / |expected|`` of each output, the difference itself where all is 0.

    Raises:
        ExportError: naming every output past the tolerance.
    """
    found = _run(graph, path, FLOAT32)
    differences = _differences(graph, found, [tensor.numpy() for tensor in expected])
    if failing := _failing(differences):
        raise ExportError(
            f"The graph {graph.name} disagrees with PyTorch's autograd in float64",
            got=failing,
            expected=f"differences in norm up to {GRADIENT_TOLERANCE:.0e}",
        )
    if not missing("openvino"):
        from ..runtime.backends import openvino

        if failing := _failing(_differences(graph, openvino.run_once(path, _inputs(graph)), found)):
            raise ExportError(
                f"OpenVINO computes the graph {graph.name} wrongly",
                got=failing,
                expected=f"differences in norm up to {GRADIENT_TOLERANCE:.0e} from ONNX Runtime",
                hint="Install another version of OpenVINO, or export where there is none.",
            )
    return differences


def _differences(graph: Graph, found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> dict[str, float]:
    """Of every output, in norm."""
    pairs = zip(graph.outputs, found, expected, strict=True)
    return {name: relative_difference(got, want) for name, got, want in pairs}


def _failing(differences: Mapping[str, float]) -> str:
    """Those past the tolerance, in words."""
    return "; ".join(f"{name}: {value:.2e}" for name, value in differences.items() if not value <= GRADIENT_TOLERANCE)


def _run(graph: Graph, path: Path, precision: Precision) -> Sequence[NDArray[np.float32]]:
    inputs = _inputs(graph)
    if precision.rescaled:
        return RoundedGraph(path).run(inputs)
    return open_session(path, session_options(), name=graph.name).run(list(graph.outputs), inputs)


def _inputs(graph: Graph) -> dict[str, NDArray[np.float32]]:
    tensors = torch.utils._pytree.tree_leaves(graph.args)
    return {name: tensor.float().contiguous().numpy() for name, tensor in zip(graph.inputs, tensors, strict=True)}


def _overflow(graph: Graph, path: Path) -> str | None:
    """The first tensor of a 16-bit graph with Inf or NaN in it."""
    watched = RoundedGraph(path, watch=True)
    watched.run(_inputs(graph))
    return next((name for name, peak in watched.peaks.items() if not np.isfinite(peak)), None)
