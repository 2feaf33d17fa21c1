"""Domain adaptation, as HyperStyle's authors do it: a fine-tuned generator draws what a bundle's method finds."""

from collections.abc import Mapping, Sequence

from ...errors import BundleError
from ..manifest.checks import wrong
from ..manifest.layers import Layer
from ..manifest.manifest import FineTunedSpec, Manifest, StateSpec
from .base import CODES, RECONSTRUCTION, STYLED, Arithmetic, Array, Arrays, Method, Signature
from .hyperstyle import OFFSET_CODES
from .restyle import average_of, encoded, synthesis_of

#: The encoder that gives the codes of further generators, in bundles that have it, and the noises of what it looks at.
ENCODER, ENCODER_NOISE = "generator_encoder", "noise.generator_encoder"
#: Codes that the method's own loop goes on with.
_OWN_CODES = "own_codes"


class Adaptation(Method):
    """The bundle's method runs as ever and sees its own drawings; a fine-tuned generator draws the image.

    Its codes are the method's, or come from an encoder of its own, e4e's or ReStyle's. Of HyperStyle's offsets it takes
    those of some layers, on its own weights: at 128 pixels and above, as the authors do. L2 is that of the method.
    """

    own_drawing = True

    def __init__(self, manifest: Manifest, base: Method, spec: FineTunedSpec) -> None:
        super().__init__(manifest)
        self._base, self._spec = base, spec
        self.refines, self.kinds = base.refines, base.kinds
        self.syntheses = (f"synthesis.{spec.name}", f"synthesis_one.{spec.name}")
        self.styled = f"{STYLED}.{spec.name}"
        self.noise = f"noise.{spec.name}"

    @property
    def name(self) -> str:
        return adapted_name(self._base.name, self._spec.name)

    @property
    def offset_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.manifest.tuned if layer.index in self._spec.offsets)

    def tensor(self, kind: str, layer: Layer) -> str:
        return f"{kind}.{self._spec.name}.{layer.name}"

    @property
    def weights_graph(self) -> str:
        """From offset codes to the weights of this generator's layers."""
        return f"weights.{self._spec.name}"

    def state(self) -> tuple[StateSpec, ...]:
        return self._base.state()

    def graphs(self) -> Mapping[str, Signature]:
        found = {name: each for name, each in self._base.signatures().items() if name != self._base.syntheses[0]}
        if self._spec.encoder_steps is not None:
            found[ENCODER] = self.encoder(looks_back=self._spec.encoder_steps > 0)
        if self._spec.encoder_steps:
            inputs = (self.codes(1), *self.noises(ENCODER_NOISE))
            found[synthesis_of(ENCODER)] = Signature(inputs, (self.picture(RECONSTRUCTION, 1),))
        if self.offset_layers:
            found[self.weights_graph] = Signature(found["weights"].inputs, self.tuned_weights())
        return found

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        average = (1, self._generator.styles, self._generator.width)
        return {**self._base.constants(), **({average_of(ENCODER): average} if self._spec.encoder_steps else {})}

    def check_method(self) -> None:
        if self._spec.encoder_steps is not None and not self.manifest.tuned:
            raise wrong(
                f"generators: {self._spec.name}.encoder_steps", self._spec.encoder_steps, "null, but of HyperStyle"
            )

    def check_state(self) -> None:
        """What it keeps is what the bundle's own method keeps, which has been checked."""

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        own = self._base.start(backend, photos)
        if self._spec.encoder_steps is None:
            return own
        codes = encoded(backend, photos, self._spec.encoder_steps, ENCODER)
        return [{**state, _OWN_CODES: state[CODES], CODES: row} for state, row in zip(own, codes, strict=True)]

    def advance(
        self, backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], states: Sequence[Arrays]
    ) -> list[Arrays]:
        advanced = self._base.advance(backend, photos, reconstructions, [_as_own(state) for state in states])
        return [
            {**new, CODES: state[CODES]} if _OWN_CODES in state else new
            for state, new in zip(states, advanced, strict=True)
        ]

    def draw(self, backend: Arithmetic, photo: Array, state: Arrays, steps: Array | None) -> Arrays:
        """What the method's next step looks at; the image is drawn for who asks for it."""
        return {RECONSTRUCTION: self._base.draw(backend, photo, _as_own(state), steps)[RECONSTRUCTION]}

    def weights(self, backend: Arithmetic, state: Arrays, steps: Array) -> Arrays:
        if not self.offset_layers:
            return {}
        return backend.run(self.weights_graph, {OFFSET_CODES: state[OFFSET_CODES], "steps": steps})


def adapted_name(method: str, generator: str) -> str:
    """What inversions call a method whose codes a further generator draws."""
    return f"{method}+{generator}"


def adaptation_of(manifest: Manifest, base: Method, generator: str) -> Adaptation:
    """The bundle's method, drawn by the further generator of that name.

    Raises:
        BundleError: there is none of that name.
    """
    for spec in manifest.generators:
        if spec.name == generator:
            return Adaptation(manifest, base, spec)
    raise BundleError(
        f"The bundle has no generator {generator[:40]}",
        got=", ".join(spec.name for spec in manifest.generators) or "none but its own",
        hint=f"Export the checkpoint again with --generator {generator[:40]}=FILE.",
    )


def _as_own(state: Arrays) -> Arrays:
    """The state as the bundle's method has it."""
    return {**state, CODES: state[_OWN_CODES]} if _OWN_CODES in state else state
