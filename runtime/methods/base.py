"""What a method is: the graphs that it needs, how a photo starts, how a step advances it, whose weights it draws with.

A method knows nothing of where arrays are: what it computes itself goes through the few operations of ``Arithmetic``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import ArrayError
from ..manifest.checks import MAX_STEPS, wrong
from ..manifest.layers import Layer
from ..manifest.manifest import Manifest, StateSpec, TensorSpec
from .signatures import check_graph, told

#: An array where its backend keeps it; only the backend looks inside.
Array: TypeAlias = Any
Arrays: TypeAlias = Mapping[str, Array]

#: Names of free axes in graphs: photos or codes that run together, and steps whose offset codes are kept.
BATCH, KEPT_STEPS = "batch", "kept_steps"
CODES = "codes"
#: What is drawn of a photo; the other arrays of a photo are the method's.
IMAGE, RECONSTRUCTION = "image", "reconstruction"
#: What is added to the styles of all layers, and the graph that takes it, in bundles that were exported with it.
STYLES, STYLED = "styles", "synthesis_styles"


class Arithmetic(Protocol):
    """What a method asks of a backend."""

    @property
    def constants(self) -> Arrays:
        """The bundle's constants."""

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """Run a graph of the bundle; inputs that are not given are the bundle's constants of that name."""

    def add(self, left: Array, right: Array) -> Array:
        """Elementwise sum."""

    def row(self, array: Array, index: int) -> Array:
        """Row ``index`` of a batch, as a batch of one."""

    def concatenate(self, rows: Sequence[Array]) -> Array:
        """Batches joined along the first axis."""

    def adam(
        self, variable: str, value: Array, gradient: Array, moments: tuple[Array, Array], rates: Array
    ) -> tuple[Array, Array, Array]:
        """An update of one variable: its value after it, and its moments, which may be the ones given, changed.

        ``first = 0.9 first + 0.1 g``, ``second = 0.999 second + 0.001 g^2``, and the value less
        ``rates[0] first / (sqrt(second) + rates[1])``.
        """


@dataclass(frozen=True)
class Signature:
    """What goes into a graph and comes out, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Method(ABC):
    """One inversion method on one bundle. A photo's state is its own: arrays by name, each with rows in front."""

    #: What the method is called, where the bundle does not say it.
    called: ClassVar[str | None] = None
    #: Whether there are refinement steps at all.
    refines: bool = True
    #: What an encoder may look at.
    kinds: tuple[str, ...] = ("photo",)
    #: The generators that it draws with.
    families: ClassVar[tuple[str, ...]] = ("stylegan2",)
    #: Whether a photo's generator is its own before any step, too.
    own_from_start: ClassVar[bool] = False
    #: Whether a step draws what it needs to itself, so that images are drawn for who asks for them.
    own_drawing: ClassVar[bool] = False
    #: The graphs that draw any number of codes, and one, with a photo's ``weights``.
    syntheses: tuple[str, str] = ("synthesis", "synthesis_one")
    #: The graph that also takes what to add to styles, where the bundle has it; None of methods that draw otherwise.
    styled: str | None = STYLED

    #: Before the names of the noises that it draws with.
    noise: str = "noise"

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        image, self._generator = manifest.image, manifest.generator
        self._sides = (image.input_height, image.input_width)

    @property
    def name(self) -> str:
        """What inversions call it."""
        return self.called or self.manifest.method.name

    @property
    def default_steps(self) -> int:
        """Steps unless told otherwise: the bundle's, if the method has none of its own."""
        return self.manifest.method.default_steps

    @property
    def offset_layers(self) -> tuple[Layer, ...]:
        """The layers whose weights a photo's generator has offsets of."""
        return self.manifest.tuned

    @abstractmethod
    def graphs(self) -> Mapping[str, Signature]:
        """The graphs that the method needs besides `synthesis` and `synthesis_one`."""

    def signatures(self) -> Mapping[str, Signature]:
        """All graphs that the method needs."""
        return {**self.graphs(), **self._syntheses()}

    def optional(self) -> Mapping[str, Signature]:
        """Graphs that a bundle may leave out."""
        if self.styled is None:
            return {}
        codes, *others = self.signatures()[self.syntheses[0]].inputs
        styles = TensorSpec(STYLES, "float32", (BATCH, self.manifest.generator.channels))
        return {self.styled: Signature((codes, styles, *others), self.signatures()[self.syntheses[0]].outputs)}

    def state(self) -> tuple[StateSpec, ...]:
        """What an inversion keeps of a photo: its codes, and what the method adds."""
        return (StateSpec(CODES, (self._generator.styles, self._generator.width)),)

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        """Constants that the method itself reads, with their shapes."""
        return {}

    @abstractmethod
    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        """Photos [B, C, H, W] to each one's state before refinement.

        An array of fixed shape that is not set is zeros.
        """

    def started(self, backend: Arithmetic, photos: Array, given: Sequence[Arrays]) -> list[Arrays]:
        """``start``, with what is ``given`` to each photo at step 0."""
        return [{**more, **state} for state, more in zip(self.start(backend, photos), given, strict=True)]

    def advance(
        self, backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], states: Sequence[Arrays]
    ) -> list[Arrays]:
        """One refinement step of a batch: photos and reconstructions [B, 3, H, W] to each photo's next state."""
        raise AssertionError(f"{self.manifest.method.name} takes no steps")

    def given(self, index: int, steps: int) -> Mapping[str, NDArray[np.float32]]:
        """What a photo's state has besides at step ``index`` of so many: numbers of a schedule, or drawn ones."""
        return {}

    def draw(self, backend: Arithmetic, photo: Array, state: Arrays, steps: Array | None) -> Arrays:
        """What comes with a photo's state: its drawing by default, ``image`` and ``reconstruction``.

        Of these `image` may be missing; then it is drawn for who asks for it. ``steps`` are as in ``weights``, None
        before any.
        """
        weights = {} if steps is None else self.weights(backend, state, steps)
        return backend.run(self.syntheses[1], {CODES: state[CODES], **weights})

    def gradient_graphs(self) -> tuple[str, ...]:
        """Graphs with a backward part, which backends have been seen to get wrong."""
        return ()

    def gradient_tensors(self) -> tuple[str, ...]:
        """What the lengths of an optimisation's gradients are of, in order."""
        return ()

    def enough(self, losses: Mapping[str, float]) -> bool:
        """Whether a photo whose losses these are need go no further."""
        return False

    def weights(self, backend: Arithmetic, state: Arrays, steps: Array) -> Arrays:
        """What a photo's generator has of its own after ``steps`` >= 1 (a float32 scalar); nothing by default."""
        return {}

    def checked_steps(self, steps: int | None) -> int:
        """Refinement steps, the bundle's default for None.

        Raises:
            ArrayError: they are out of range, or the method takes none.
        """
        steps = self.default_steps if steps is None else steps
        if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MAX_STEPS:
            raise ArrayError("steps is out of range", got=steps, expected=f"0 to {MAX_STEPS}")
        if steps and not self.refines:
            raise ArrayError(f"{self.name} takes no refinement steps", got=steps, expected=0)
        return steps

    def check(self) -> None:
        """See that the bundle has what the method needs.

        Raises:
            BundleError: it has not.
        """
        manifest = self.manifest
        if manifest.image.kind not in self.kinds:
            raise wrong("image.kind", manifest.image.kind, f"{' or '.join(self.kinds)} for {self.name}")
        if manifest.generator.family not in self.families:
            raise wrong("generator.family", manifest.generator.family, f"{' or '.join(self.families)} for {self.name}")
        if not self.refines and manifest.method.default_steps:
            raise wrong("method.default_steps", manifest.method.default_steps, f"0 for {manifest.method.name}")
        self.check_method()
        self.check_state()
        for name, signature in self.signatures().items():
            check_graph(name, manifest.graphs.get(name), signature.inputs, signature.outputs)
        for name, signature in self.optional().items():
            if name in manifest.graphs:
                check_graph(name, manifest.graphs[name], signature.inputs, signature.outputs)

    def check_state(self) -> None:
        """See that the bundle says of what an inversion keeps what the method says.

        Raises:
            BundleError: it does not.
        """
        if self.manifest.state != self.state():
            raise wrong("state", told(self.manifest.state), told(self.state()))

    def check_method(self) -> None:
        """See that options and layers are the method's.

        Raises:
            BundleError: they are not.
        """
        if self.manifest.tuned:
            raise wrong("generator.layers", "layers with offsets", f"none for {self.manifest.method.name}")
        if self.manifest.method.encoder_steps:
            raise wrong("method.encoder_steps", self.manifest.method.encoder_steps, 0)

    def encoder(self, looks_back: bool) -> Signature:
        """Photos, and reconstructions if it ``looks_back``, to codes."""
        inputs = [self.picture("image", BATCH, self.manifest.image.channels)]
        if looks_back:
            inputs.append(self.picture("reconstruction", BATCH))
        return Signature(tuple(inputs), (self.codes(BATCH),))

    def codes(self, rows: int | str) -> TensorSpec:
        """Codes [rows, styles, width]."""
        return TensorSpec(CODES, "float32", (rows, self._generator.styles, self._generator.width))

    def picture(self, name: str, rows: int | str, channels: int = 3) -> TensorSpec:
        """Pictures at the size that the networks look at."""
        return TensorSpec(name, "float32", (rows, channels, *self._sides))

    def tuned_weights(self) -> tuple[TensorSpec, ...]:
        """Weights and energies that are a photo's own: outputs of `weights`, inputs of `synthesis`."""
        precision, tuned = self.manifest.precision, self.offset_layers
        weights = (TensorSpec(self.tensor("weight", layer), precision, layer.stored_shape) for layer in tuned)
        demodulated = [layer for layer in tuned if layer.demodulated]
        energies = (
            TensorSpec(self.tensor("energy", layer), "float32", layer.stored_shape[:2]) for layer in demodulated
        )
        return (*weights, *energies)

    def tensor(self, kind: str, layer: Layer) -> str:
        """What a layer's ``weight``, ``energy`` or ``noise`` is called in the graphs that draw."""
        return f"{kind}.{layer.name}"

    def noises(self, prefix: str = "noise") -> tuple[TensorSpec, ...]:
        """Constant noises, one for each 3x3 convolution."""
        return tuple(
            TensorSpec(f"{prefix}.{layer.name}", self.manifest.precision, (1, 1, layer.resolution, layer.resolution))
            for layer in self.manifest.layers
            if layer.demodulated
        )

    def drawing_inputs(self) -> tuple[TensorSpec, ...]:
        """What `synthesis` takes besides codes: a photo's weights, and constants."""
        return (*self.tuned_weights(), *self.noises(self.noise))

    def _syntheses(self) -> Mapping[str, Signature]:
        """`synthesis` for any number of codes, and its form for one."""
        size = (self.manifest.image.height, self._generator.size)
        free: tuple[int | str, ...] = (BATCH, 1)
        return {
            name: Signature(
                (self.codes(rows), *self.drawing_inputs()),
                (TensorSpec("image", "float32", (rows, 3, *size)), self.picture("reconstruction", rows)),
            )
            for name, rows in zip(self.syntheses, free, strict=True)
        }


def rows_of(backend: Arithmetic, array: Array, count: int) -> Iterable[Array]:
    """A batch's rows, each as a batch of one."""
    return (backend.row(array, index) for index in range(count))
