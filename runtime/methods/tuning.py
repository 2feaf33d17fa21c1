"""PTI (Roich et al., "Pivotal Tuning", TOG 2022): the generator itself is tuned, around a code that stays."""

import math
from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...errors import ArrayError, BundleError
from ..manifest.layers import FIRST_RESOLUTION, Layer
from ..manifest.manifest import StateSpec, TensorSpec
from .base import CODES, RECONSTRUCTION, Arithmetic, Array, Arrays, Signature, rows_of
from .hyperstyle import OFFSET_CODES
from .optimisation import GRADIENT, LOCALITY, LOSS, Optimisation

GRADIENT_GRAPH, START_GRAPH, LOCALITY_GRAPH = "pti_gradient", "pti_start", "pti_locality"
#: What tuning has added to every number of the generator, in one row.
DIFFERENCES = "differences"
#: What a code near the pivot is mapped from.
LATENT = "latent"
#: The generator's constant, by its published name.
INPUT = "input.input"
#: Before the numbers of the steps that the bundle's own method takes first.
_OWN_STEPS = "own_steps."


def tuned_tensors(layers: Sequence[Layer], width: int) -> dict[str, tuple[int, ...]]:
    """What PTI tunes, by published names in the order of the row, with shapes: all of synthesis but noise buffers."""
    first = layers[0]
    tensors: dict[str, tuple[int, ...]] = {INPUT: (1, first.in_channels, FIRST_RESOLUTION, FIRST_RESOLUTION)}
    for layer in layers:
        own: dict[str, tuple[int, ...]] = {
            "conv.weight": (1, *layer.weight_shape),
            "conv.modulation.weight": (layer.in_channels, width),
            "conv.modulation.bias": (layer.in_channels,),
        }
        if layer.demodulated:
            own |= {"noise.weight": (1,), "activate.bias": (layer.out_channels,)}
        else:
            own |= {"bias": (1, layer.out_channels, 1, 1)}
        tensors |= {f"{layer.name}.{name}": shape for name, shape in own.items()}
    return tensors


class Tuning(Optimisation):
    """Codes of the bundle's own method, or a pivot given, stay; Adam moves all numbers of the generator.

    On a HyperStyle bundle tuning starts at the weights that HyperStyle found. The loss is between drawing and photo at
    the size that the bundle's networks look at; a photo whose LPIPS comes down to 0.06 stops.
    """

    called = exported_as = "pti"
    gradient_graph = GRADIENT_GRAPH
    variables = (DIFFERENCES,)
    rate = 3e-4
    usual_steps = 350
    own_from_start = True
    syntheses = ("pti_synthesis", "pti_synthesis_one")
    #: Where tuning stops unless the user says otherwise.
    usual_lpips = 0.06

    @property
    def begins_with(self) -> str | None:
        return self._base.name if self.settings.pivot is None else None

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """What is tuned, with shapes."""
        return tuned_tensors(self.manifest.layers, self._generator.width)

    def state(self) -> tuple[StateSpec, ...]:
        return (*super().state(), StateSpec(DIFFERENCES, (sum(map(prod, self.tensors.values())),)))

    def variable_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {DIFFERENCES: (1, *self.state()[-1].sized(0))}

    def gradient_tensors(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    def others(self) -> tuple[TensorSpec, ...]:
        return (self.codes(1),)

    @property
    def _from_offsets(self) -> bool:
        return any(spec.name == OFFSET_CODES for spec in self._base.state())

    def graphs(self) -> Mapping[str, Signature]:
        differences = TensorSpec(DIFFERENCES, "float32", self.variable_shapes()[DIFFERENCES])
        # A pivot that is given takes the place of the bundle's own method: then none of its graphs is loaded.
        own = self._base.signatures() if self.settings.pivot is None else {}
        found = {**own, **super().graphs()}
        if self._from_offsets and own:
            found[START_GRAPH] = Signature(found["offsets"].inputs, (differences,))
        if self.settings.locality:
            latent = TensorSpec(LATENT, "float32", (1, self._generator.width))
            weight = TensorSpec(self.weight_of(LOCALITY), "float32", (1,))
            gradient = TensorSpec(f"{GRADIENT}{DIFFERENCES}", "float32", differences.shape)
            loss = TensorSpec(f"{LOSS}{LOCALITY}", "float32", (1,))
            found[LOCALITY_GRAPH] = Signature((differences, self.codes(1), latent, weight), (gradient, loss))
        return found

    def gradient_graphs(self) -> tuple[str, ...]:
        return (GRADIENT_GRAPH, LOCALITY_GRAPH) if self.settings.locality else (GRADIENT_GRAPH,)

    def drawing_inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(DIFFERENCES, "float32", self.variable_shapes()[DIFFERENCES]),)

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        return self._base.constants() if self.settings.pivot is None else {}

    def check_method(self) -> None:
        super().check_method()
        if self.settings.locality and LOCALITY_GRAPH not in self.manifest.graphs:
            raise BundleError(
                "The bundle has no graph for PTI's locality",
                expected=f"a graph {LOCALITY_GRAPH}",
                hint="Export the checkpoint again with --gradients pti-locality, too.",
            )
        pivot, shape = self.settings.pivot, self.state()[0].shape
        if pivot is not None and (pivot.shape != shape or not np.isfinite(pivot).all()):
            raise ArrayError("The pivot does not fit", got=list(pivot.shape), expected=f"finite codes {list(shape)}")

    def enough(self, losses: Mapping[str, float]) -> bool:
        limit = self.settings.until_lpips
        return losses.get("lpips", math.inf) <= (self.usual_lpips if limit is None else limit)

    def given(self, index: int, steps: int) -> Mapping[str, NDArray[np.float32]]:
        found = dict(super().given(index, steps))
        if self.settings.locality:
            found[LATENT] = self.draws(LATENT, index, (1, self._generator.width))
        if index:
            return found
        found[DIFFERENCES] = np.zeros(self.variable_shapes()[DIFFERENCES], np.float32)
        if self.settings.pivot is not None:
            return {**found, CODES: np.asarray(self.settings.pivot[None], np.float32)}
        own = range(1, self._base.default_steps + 1)
        return {**found, **{f"{_OWN_STEPS}{step}": np.asarray(step, np.float32) for step in own}}

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        return self.seen(backend, photos)

    def started(self, backend: Arithmetic, photos: Array, given: Sequence[Arrays]) -> list[Arrays]:
        states = super().started(backend, photos, given)
        if self.settings.pivot is not None:
            return states
        numbers = [given[0][f"{_OWN_STEPS}{step}"] for step in range(1, self._base.default_steps + 1)]
        pivots = self._pivots(backend, photos, numbers)
        kept = [{name: array for name, array in state.items() if _OWN_STEPS not in name} for state in states]
        return [{**state, **pivot} for state, pivot in zip(kept, pivots, strict=True)]

    def _pivots(self, backend: Arithmetic, photos: Array, numbers: Sequence[Array]) -> list[dict[str, Array]]:
        """What the bundle's own method finds in its usual steps: codes, and of HyperStyle where tuning starts."""
        base = self._base
        rows = list(rows_of(backend, photos, photos.shape[0]))
        states: list[Arrays] = list(base.start(backend, photos))
        for before in (None, *numbers[:-1])[: len(numbers)]:
            drawn = [base.draw(backend, row, state, before) for row, state in zip(rows, states, strict=True)]
            states = list(base.advance(backend, photos, [each[RECONSTRUCTION] for each in drawn], states))
        found: list[dict[str, Array]] = [{CODES: state[CODES]} for state in states]
        if self._from_offsets and numbers:
            for pivot, state in zip(found, states, strict=True):
                offset_codes = {OFFSET_CODES: state[OFFSET_CODES], "steps": numbers[-1]}
                pivot[DIFFERENCES] = backend.run(START_GRAPH, offset_codes)[DIFFERENCES]
        return found

    def draw(self, backend: Arithmetic, photo: Array, state: Arrays, steps: Array | None) -> Arrays:
        found = super().draw(backend, photo, state, steps)
        if not self.settings.locality:
            return found
        near = backend.run(LOCALITY_GRAPH, {name: state[name] for name in (DIFFERENCES, CODES, LATENT)})
        gradient, loss = f"{GRADIENT}{DIFFERENCES}", f"{LOSS}{LOCALITY}"
        return {**found, gradient: backend.add(found[gradient], near[gradient]), loss: near[loss]}

    def weights(self, backend: Arithmetic, state: Arrays, steps: Array) -> Arrays:
        return {DIFFERENCES: state[DIFFERENCES]}
