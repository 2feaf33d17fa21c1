"""HyperStyle (Alaluf et al., CVPR 2022): the generator's weights are refined, by offsets out of short codes."""

from collections.abc import Mapping, Sequence

from ..manifest.checks import wrong
from ..manifest.manifest import StateSpec, TensorSpec
from .base import BATCH, CODES, KEPT_STEPS, Arithmetic, Array, Arrays, Method, Signature, rows_of
from .restyle import average_of, encoded, synthesis_of

OFFSET_CODES = "offset_codes"
#: Average code, noises and generator of a ReStyle encoder that gives the codes.
ENCODER_AVERAGE, ENCODER_NOISE, ENCODER_SYNTHESIS = average_of("encoder"), "encoder_noise", synthesis_of("encoder")


class HyperStyle(Method):
    """``codes = encoder(x)``, then ``z += hypernet(x, y)`` with ``y = G(codes, W(z))``; section 3.3 of the paper.

    A separable hypernetwork is bilinear in z, so that the codes of every step are kept in place of their sum. With
    ``encoder_steps`` the codes come from a ReStyle encoder, which looks at the drawings of a generator of its own.
    """

    @property
    def separable(self) -> bool:
        """Whether the offset codes of every step are kept."""
        return isinstance(self._offset_codes.shape[0], str)

    @property
    def _offset_codes(self) -> StateSpec:
        return self.manifest.state[-1]

    def check_method(self) -> None:
        tuned, state = self.manifest.tuned, self.manifest.state
        if not tuned:
            raise wrong("generator.layers", "no layer with offsets", "one at least")
        if [array.name for array in state] != [CODES, OFFSET_CODES]:
            raise wrong("state", [array.name for array in state], [CODES, OFFSET_CODES])
        rows = state[1].shape[:-1]
        if rows not in ((len(tuned),), ("steps", len(tuned))) or not isinstance(state[1].shape[-1], int):
            raise wrong("state[1].shape", list(state[1].shape), f"{len(tuned)} codes, or those of every step")

    def state(self) -> tuple[StateSpec, ...]:
        return (*super().state(), self._offset_codes)

    def graphs(self) -> Mapping[str, Signature]:
        tuned, precision = self.manifest.tuned, self.manifest.precision
        codes = self._offset_codes.shape[-2:]
        kept = (
            TensorSpec(OFFSET_CODES, "float32", (KEPT_STEPS if self.separable else 1, *codes)),
            TensorSpec("steps", "float32", ()),
        )
        offsets = tuple(TensorSpec(f"offset.{layer.name}", precision, layer.offset_shape) for layer in tuned)
        pictures = (self.picture("image", BATCH), self.picture("reconstruction", BATCH))
        graphs = {
            "encoder": self.encoder(looks_back=self.manifest.method.encoder_steps > 0),
            "hypernet": Signature(pictures, (TensorSpec(OFFSET_CODES, "float32", (BATCH, *codes)),)),
            "offsets": Signature(kept, offsets),
            "weights": Signature(kept, self.tuned_weights()),
        }
        if self.manifest.method.encoder_steps:
            inputs = (self.codes(1), *self.noises(ENCODER_NOISE))
            graphs[ENCODER_SYNTHESIS] = Signature(inputs, (self.picture("reconstruction", 1),))
        return graphs

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        average = (1, self._generator.styles, self._generator.width)
        return {ENCODER_AVERAGE: average} if self.manifest.method.encoder_steps else {}

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        return [{CODES: codes} for codes in encoded(backend, photos, self.manifest.method.encoder_steps)]

    def advance(
        self, backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], states: Sequence[Arrays]
    ) -> list[Arrays]:
        inputs = {"image": photos, "reconstruction": backend.concatenate(reconstructions)}
        found = backend.run("hypernet", inputs)[OFFSET_CODES]
        rows = rows_of(backend, found, len(states))
        return [
            {**state, OFFSET_CODES: self._kept(backend, state, row)} for state, row in zip(states, rows, strict=True)
        ]

    def _kept(self, backend: Arithmetic, state: Arrays, new: Array) -> Array:
        """Offset codes [K, n_tuned, width]: the sum over the steps, or the codes of every step."""
        if OFFSET_CODES not in state:
            return new
        old = state[OFFSET_CODES]
        return backend.concatenate([old, new]) if self.separable else backend.add(old, new)

    def weights(self, backend: Arithmetic, state: Arrays, steps: Array) -> Arrays:
        return backend.run("weights", {OFFSET_CODES: state[OFFSET_CODES], "steps": steps})
