"""What quantizing does to the image: differences from the full-precision loop, at every step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.backends.onnxruntime import ON_REQUEST
from ..runtime.bundle.reader import Bundle
from ..runtime.quality.tolerance import PEAK, psnr
from .blocks import Block
from .loop_backend import LoopBackend, MemorySession, with_constants
from .quantization import Weights, quantize
from .stage_graph import Constant, StageGraph

#: The images of one photo's loop, [3, height, width] float32 a step, step 0 first.
Images = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Effect:
    """Differences from full precision at each step from 0 on: the worst photo's PSNR in dB, mean L2, largest error."""

    psnr: tuple[float, ...]
    l2: tuple[float, ...]
    largest: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The PSNR of the worst step; NaN if an image is not finite."""
        return float(np.min(self.psnr))

    @property
    def mean_squares(self) -> NDArray[np.float64]:
        """The mean squared error of each step that its PSNR stands for."""
        return PEAK * PEAK * 10 ** (-np.array(self.psnr) / 10)

    def to_json(self) -> dict[str, Any]:
        """The differences as JSON values; null is a PSNR where images are equal, and anything that is not finite."""
        values = {"psnr": [round(value, 3) for value in self.psnr], "l2": self.l2, "largest": self.largest}
        return {name: [each if np.isfinite(each) else None for each in of] for name, of in values.items()}


def compare(images: Sequence[Images], reference: Sequence[Images]) -> Effect:
    """The effect over several photos: ``images[photo][step]`` against ``reference[photo][step]``."""
    steps = range(len(reference[0]))
    pairs = [[(got[step], want[step]) for got, want in zip(images, reference, strict=True)] for step in steps]
    return Effect(
        tuple(float(np.min([psnr(got, want) for got, want in pair])) for pair in pairs),
        tuple(float(np.mean([np.square(got - want, dtype=np.float64).mean() for got, want in pair])) for pair in pairs),
        tuple(float(max(np.abs(got - want).max() for got, want in pair)) for pair in pairs),
    )


class Variants:
    """The loop with some blocks quantized, in ONNX Runtime, whose Q/DQ nodes are the definition of the arithmetic."""

    def __init__(
        self,
        bundle: Bundle,
        graphs: Mapping[str, StageGraph],
        thresholds: Mapping[str, Mapping[str, float]],
        weights: Weights,
        photos: Sequence[NDArray[np.float32]],
        steps: int,
    ) -> None:
        self._bundle, self._graphs, self._thresholds, self._weights = bundle, graphs, thresholds, weights
        self._photos, self._steps = photos, steps
        self._backend = LoopBackend(bundle)
        self._plain: dict[str, MemorySession] = {}
        self._reference: list[Images] | None = None

    @property
    def reference(self) -> list[Images]:
        """The images of the float32 loop."""
        if self._reference is None:
            self._reference = self._images()
            self._plain = dict(self._backend.sessions)
        return self._reference

    def effect(self, blocks: Iterable[Block]) -> Effect:
        """What quantizing these blocks, and no others, does to the photos' images."""
        reference = self.reference
        chosen = frozenset(constant for block in blocks for constant in block.constants)
        self._backend.sessions = dict(self._plain)
        for stage, graph in self._graphs.items():
            if stage not in ON_REQUEST and chosen & _weights_of(graph):
                edited = quantize(graph, chosen, self._thresholds.get(stage, {}), self._weights)
                self._backend.sessions[stage] = MemorySession(self._bundle, with_constants(edited))
        try:
            return compare(self._images(), reference)
        finally:
            self._backend.sessions = dict(self._plain)

    def _images(self) -> list[Images]:
        return [self._backend.images(photo, self._steps) for photo in self._photos]


def _weights_of(graph: StageGraph) -> frozenset[Constant]:
    names = {name for node in graph.nodes for name in node.input[:2]}
    places = (graph.constant(name) for name in names)
    return frozenset(where for where in places if where is not None)
