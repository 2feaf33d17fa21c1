"""StyleGAN2's projection (Karras et al., CVPR 2020, appendix D): codes and noise buffers by gradient descent."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..manifest.manifest import StateSpec, TensorSpec
from .base import CODES, Arithmetic, Array, Arrays, Signature
from .optimisation import Optimisation

GRADIENT_GRAPH, NOISES_GRAPH = "projection_gradient", "projection_noises"
#: The mean of mapped latents, which a projection starts at.
AVERAGE_W = "average_w"
#: All noise buffers in one row, and what codes are moved by before they are drawn, in deviations of W.
NOISES, PERTURBATION, SHARED = "noises", "perturbation", "shared"
#: Of the schedule, as shares of the steps: the rate goes up over the first 0.05 and down over the last 0.25; codes are
#: perturbed by 0.05 deviations at first and not at all after 0.75.
RAMP_UP, RAMP_DOWN, SPREAD, SPREAD_END = 0.05, 0.25, 0.05, 0.75


class Projection(Optimisation):
    """``codes = average``, noises drawn; then Adam on both, codes perturbed less and less, noises held to be noise.

    In W all rows of the codes stay equal: each gets the sum of the rows' gradients. After an update every noise
    buffer is shifted and scaled to mean 0 and deviation 1.
    """

    called = exported_as = "projection"
    gradient_graph = GRADIENT_GRAPH
    variables = (CODES, NOISES)
    rate = 0.1
    own_from_start = True
    usual_steps = 1000

    def state(self) -> tuple[StateSpec, ...]:
        return (*super().state(), StateSpec(NOISES, (self._noise_count(),)))

    def _noise_count(self) -> int:
        return sum(layer.resolution**2 for layer in self.manifest.layers if layer.demodulated)

    def variable_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {spec.name: (1, *spec.sized(0)) for spec in self.state()}

    def gradient_tensors(self) -> tuple[str, ...]:
        return (CODES, *(noise.name for noise in self.noises()))

    def others(self) -> tuple[TensorSpec, ...]:
        codes = self.codes(1)
        return TensorSpec(PERTURBATION, codes.dtype, codes.shape), TensorSpec(SHARED, "float32", (1,))

    def graphs(self) -> Mapping[str, Signature]:
        noises = TensorSpec(NOISES, "float32", (1, self._noise_count()))
        settled = TensorSpec(f"settled_{NOISES}", "float32", noises.shape)
        return {**super().graphs(), NOISES_GRAPH: Signature((noises,), (settled, *self.noises()))}

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        return {AVERAGE_W: (1, self._generator.styles, self._generator.width)}

    def ramp(self, index: int, steps: int) -> float:
        t = index / steps
        down = min(1.0, (1 - t) / RAMP_DOWN)
        return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, t / RAMP_UP)

    def given(self, index: int, steps: int) -> Mapping[str, NDArray[np.float32]]:
        t = index / max(steps, 1)
        spread = SPREAD * max(0.0, 1 - t / SPREAD_END) ** 2
        shape = self.variable_shapes()
        rows = 1 if self._in_w else shape[CODES][1]
        drawn = self.draws(PERTURBATION, index, (1, rows, shape[CODES][2]))
        found = {
            **super().given(index, steps),
            PERTURBATION: np.ascontiguousarray(np.broadcast_to(drawn * np.float32(spread), shape[CODES])),
            SHARED: np.full(1, self._in_w, np.float32),
        }
        return found if index else {**found, NOISES: self.draws(NOISES, 0, shape[NOISES])}

    @property
    def _in_w(self) -> bool:
        return self.settings.space == "w"

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        return [{CODES: backend.constants[AVERAGE_W], **seen} for seen in self.seen(backend, photos)]

    def settled(self, backend: Arithmetic, state: dict[str, Array]) -> Arrays:
        noises = backend.run(NOISES_GRAPH, {NOISES: state[NOISES]})
        return {**state, NOISES: noises[f"settled_{NOISES}"]}

    def weights(self, backend: Arithmetic, state: Arrays, steps: Array) -> Arrays:
        noises = backend.run(NOISES_GRAPH, {NOISES: state[NOISES]})
        return {noise.name: noises[noise.name] for noise in self.noises()}
