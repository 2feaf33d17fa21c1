"""What methods share that descend a loss: Adam, and the gradient graph of a bundle.

State t holds variables, Adam's moments, and the gradient at those variables: so a step is an update by the gradient
that is there, and one run of the gradient graph at what comes out. docs/optimisation.md has the formulas.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ArrayError, BundleError
from ..manifest.checks import wrong
from ..manifest.manifest import Manifest, TensorSpec
from .base import RECONSTRUCTION, Arithmetic, Array, Arrays, Method, Signature, rows_of
from .randomness import normal_numbers
from .settings import Settings

#: Beginnings of names in gradient graphs: terms of the loss, their weights, and gradients by variable.
LOSS, LOSS_WEIGHT, GRADIENT = "loss.", "loss_weight.", "gradient."
#: Adam's two moments of a variable, the numbers of a step, and the lengths of the gradient's tensors.
FIRST, SECOND, RATES, NORMS = "first.", "second.", "rates", "norms"
#: What the loss is taken against: the photo, and what a perceptual network sees in it.
TARGET, FEATURE, FEATURES_GRAPH = "target", "feature.", "features"
#: Every term that a loss may have.
TERMS = ("mse", "multiscale", "lpips", "noise", "feature", "encoder")
#: Those that look at the photo's features.
PERCEPTUAL = frozenset({"lpips", "feature"})
#: The term that is none of a photo's: how far tuning changes what other codes give.
LOCALITY = "locality"
#: Adam (Kingma and Ba 2015), as every method's authors have it.
BETAS, EPSILON = (0.9, 0.999), 1e-8


class Optimisation(Method):
    """A method whose steps are Adam's on ``variables``, by the gradients that ``gradient_graph`` gives.

    ``base`` is the bundle's own method, which it may start from; None if it is that itself.
    """

    #: What `export --gradients` calls it.
    exported_as: ClassVar[str]
    gradient_graph: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    own_drawing = True
    styled = None
    #: The learning rate unless the user sets one, and how many steps.
    rate: ClassVar[float]
    usual_steps: ClassVar[int]

    def __init__(self, manifest: Manifest, base: Method | None = None, settings: Settings | None = None) -> None:
        super().__init__(manifest)
        self._base: Method = base or self
        self.settings = settings or Settings()

    @property
    def default_steps(self) -> int:
        return self.usual_steps

    @property
    def begins_with(self) -> str | None:
        """Name of the method whose result is where this begins; None where it begins by itself."""
        return None

    @abstractmethod
    def variable_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Each variable's shape, with a row in front."""

    @abstractmethod
    def others(self) -> tuple[TensorSpec, ...]:
        """What the gradient graph takes besides variables, target, features and weights of the loss."""

    def gradient_graphs(self) -> tuple[str, ...]:
        return (self.gradient_graph,)

    def ramp(self, index: int, steps: int) -> float:
        """What the learning rate of update ``index`` of so many is multiplied by; ``index`` counts from 0."""
        return 1.0

    @property
    def terms(self) -> tuple[str, ...]:
        """The terms of the bundle's loss."""
        graph = self.manifest.graphs.get(self.gradient_graph)
        names = [output.name for output in graph.outputs] if graph is not None else []
        return tuple(name.removeprefix(LOSS) for name in names if name.startswith(LOSS))

    def weight_of(self, term: str) -> str:
        """What a term's weight is called: a constant of the bundle, and an input of the gradient graph."""
        return f"{LOSS_WEIGHT}{self.exported_as}.{term}"

    def features(self) -> tuple[TensorSpec, ...]:
        """What a perceptual network sees in the photo, if the loss has one."""
        graph = self.manifest.graphs.get(FEATURES_GRAPH)
        return graph.outputs if graph is not None and PERCEPTUAL.intersection(self.terms) else ()

    def graphs(self) -> Mapping[str, Signature]:
        shapes, features, terms = self.variable_shapes(), self.features(), self.terms
        values = tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items())
        weights = tuple(TensorSpec(self.weight_of(term), "float32", (1,)) for term in terms)
        gradients = tuple(TensorSpec(f"{GRADIENT}{name}", "float32", shape) for name, shape in shapes.items())
        told = (
            TensorSpec(NORMS, "float32", (len(self.gradient_tensors()),)),
            *(TensorSpec(f"{LOSS}{term}", "float32", (1,)) for term in terms),
            self.picture(RECONSTRUCTION, 1),
        )
        target = self.picture(TARGET, 1)
        signature = Signature((*values, target, *features, *self.others(), *weights), (*gradients, *told))
        return {
            self.gradient_graph: signature,
            **({FEATURES_GRAPH: Signature((target,), features)} if features else {}),
            **{f"adam_{name}": _adam(shape) for name, shape in shapes.items()},
        }

    def check_state(self) -> None:
        # The manifest says what the bundle's own method keeps; what another keeps follows from the generator.
        if self._base is self:
            super().check_state()

    def check_method(self) -> None:
        if self.gradient_graph not in self.manifest.graphs:
            raise BundleError(
                f"The bundle has no gradient graphs for {self.name}",
                got=f"graphs for {self.manifest.method.name} alone",
                expected=f"a graph {self.gradient_graph}",
                hint=f"Export the checkpoint again with --gradients {self.exported_as}.",
            )
        if unknown := sorted(set(self.terms) - set(TERMS)):
            raise wrong(f"graphs[{self.gradient_graph}].outputs", ", ".join(unknown)[:80], f"terms out of {TERMS}")
        if surplus := sorted(set(self.settings.loss) - set(self.terms)):
            raise ArrayError(
                "The bundle's loss has no such term", got=", ".join(surplus), expected=", ".join(self.terms)
            )
        if self.settings.until_lpips is not None and "lpips" not in self.terms:
            raise ArrayError(
                "The bundle's loss has no LPIPS to stop by",
                got=", ".join(self.terms),
                hint="Export it with --lpips, or leave until_lpips out.",
            )

    def given(self, index: int, steps: int) -> Mapping[str, NDArray[np.float32]]:
        if index == 0:
            weights = {
                self.weight_of(term): np.full(1, weight, np.float32) for term, weight in self.settings.loss.items()
            }
            moments = {
                f"{moment}{name}": np.zeros(shape, np.float32)
                for name, shape in self.variable_shapes().items()
                for moment in (FIRST, SECOND)
            }
            return {**weights, **moments}
        rate = (self.settings.rate or self.rate) * self.ramp(index - 1, steps)
        return {RATES: adam_rates(rate, index)}

    def advance(
        self, backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], states: Sequence[Arrays]
    ) -> list[Arrays]:
        return [self.settled(backend, self._updated(backend, state)) for state in states]

    def _updated(self, backend: Arithmetic, state: Arrays) -> dict[str, Array]:
        new = dict(state)
        for name in self.variables:
            new[name], new[f"{FIRST}{name}"], new[f"{SECOND}{name}"] = backend.adam(
                name,
                state[name],
                state[f"{GRADIENT}{name}"],
                (state[f"{FIRST}{name}"], state[f"{SECOND}{name}"]),
                state[RATES],
            )
        return new

    def settled(self, backend: Arithmetic, state: dict[str, Array]) -> Arrays:
        """What the method does to variables after an update."""
        return state

    def draw(self, backend: Arithmetic, photo: Array, state: Arrays, steps: Array | None) -> Arrays:
        """The gradient at the state, its losses, and the picture that they are of."""
        names = [tensor.name for tensor in self.manifest.graphs[self.gradient_graph].inputs]
        own = {name: state[name] for name in names if name in state}
        return backend.run(self.gradient_graph, {TARGET: photo, **own})

    def seen(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        """What a perceptual network sees in each photo: computed once, since photos do not change."""
        if not self.features():
            return [{} for _ in range(photos.shape[0])]
        return [backend.run(FEATURES_GRAPH, {TARGET: photo}) for photo in rows_of(backend, photos, photos.shape[0])]

    def enough(self, losses: Mapping[str, float]) -> bool:
        limit = self.settings.until_lpips
        return limit is not None and losses["lpips"] <= limit

    def draws(self, name: str, index: int, shape: Sequence[int]) -> NDArray[np.float32]:
        """Standard normal numbers of a step: each draw has a stream of its own."""
        return normal_numbers(self.settings.seed, name, index, shape)


def adam_rates(rate: float, update: int) -> NDArray[np.float32]:
    """A step's size and epsilon with the corrections of Adam's moments in them, for update 1, 2, ...: [2] float32.

    ``value -= size * first / (sqrt(second) + epsilon)`` with ``size = rate sqrt(1 - b2^t) / (1 - b1^t)`` and
    ``epsilon = 1e-8 sqrt(1 - b2^t)``.
    """
    grown = math.sqrt(1 - BETAS[1] ** update)
    return np.array([rate * grown / (1 - BETAS[0] ** update), EPSILON * grown], np.float32)


def _adam(shape: tuple[int, ...]) -> Signature:
    names = ("value", "gradient", "first", "second")
    inputs = tuple(TensorSpec(name, "float32", shape) for name in names)
    outputs = tuple(TensorSpec(f"{name}_after", "float32", shape) for name in ("value", "first", "second"))
    return Signature((*inputs, TensorSpec(RATES, "float32", (2,))), outputs)
