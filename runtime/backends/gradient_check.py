"""Hold a backend's gradients against ONNX Runtime's: OpenVINO has been seen to give wrong ones without a word."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..manifest.manifest import TensorSpec
from ..methods.base import RECONSTRUCTION
from ..methods.optimisation import TARGET
from .host import HostBackend

if TYPE_CHECKING:
    from .onnxruntime import Sessions

#: Largest accepted difference of a gradient, in norm and relative to it. PyTorch's own autograd in float32 was 5.6e-3
#: from float64 at 256 pixels, graphs in ONNX Runtime up to 6e-4; a wrong gradient is off by 0.1 and more.
GRADIENT_TOLERANCE = 5e-3


def relative_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """``|found - expected| / |expected|`` in norm over all numbers, ``|found|`` if all that is expected is 0."""
    if found.shape != expected.shape:
        return math.inf
    wanted = float(np.linalg.norm(expected.astype(np.float64).ravel()))
    return float(np.linalg.norm((found.astype(np.float64) - expected).ravel())) / (wanted or 1.0)


def check_gradients(backend: HostBackend, sessions: "Sessions", tolerance: float = GRADIENT_TOLERANCE) -> None:
    """Compare every gradient graph of a backend's method with ONNX Runtime, on drawn inputs.

    Raises:
        BackendError: a graph gives something else.
    """
    for graph in backend.method.gradient_graphs():
        inputs = _drawn(backend, graph)
        found, expected = backend.run(graph, inputs), sessions.run(graph, backend.completed(graph, inputs))
        names = [spec.name for spec in backend.manifest.graphs[graph].outputs]
        wrong = {
            name: difference
            for name, want in zip(names, expected, strict=True)
            if not (difference := relative_difference(found[name], want)) <= tolerance
        }
        if wrong:
            raise BackendError(
                f"{backend.name} computes {graph} wrongly",
                got=", ".join(f"{name} is off by {value:.1e} of its length" for name, value in wrong.items()),
                expected=f"at most {tolerance:g} from ONNX Runtime",
                hint="Take --backend onnxruntime.",
            )


def _drawn(backend: HostBackend, graph: str) -> Mapping[str, NDArray[np.float32]]:
    """Inputs of a graph that are no constants: a picture, numbers around 0, and 0 for switches."""
    draw = np.random.default_rng(0)

    def drawn(spec: TensorSpec) -> NDArray[np.float32]:
        shape = tuple(map(int, spec.shape))
        if shape == (1,):
            return np.zeros(shape, np.float32)
        spread = 0.5 if spec.name in (TARGET, RECONSTRUCTION) else 0.1
        return np.float32(spread) * draw.standard_normal(shape, np.float32)

    specs = backend.manifest.graphs[graph].inputs
    return {spec.name: drawn(spec) for spec in specs if spec.name not in backend.constants}
