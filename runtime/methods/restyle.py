"""ReStyle (Alaluf et al., ICCV 2021), with pSp's or e4e's encoder: the codes themselves are refined."""

from collections.abc import Mapping, Sequence

from .base import CODES, RECONSTRUCTION, Arithmetic, Array, Arrays, Method, Signature, rows_of

AVERAGE = "latent_avg"


class ReStyle(Method):
    """``codes = average``, then ``codes += encoder(x, y)`` with ``y = G(codes)``: at first the average image."""

    def graphs(self) -> Mapping[str, Signature]:
        return {"encoder": self.encoder(looks_back=True)}

    def constants(self) -> Mapping[str, tuple[int, ...]]:
        return {AVERAGE: (1, self._generator.styles, self._generator.width)}

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        return [{CODES: backend.constants[AVERAGE]} for _ in range(photos.shape[0])]

    def advance(
        self, backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], states: Sequence[Arrays]
    ) -> list[Arrays]:
        codes = look_back(backend, photos, reconstructions, [state[CODES] for state in states])
        return [{CODES: row} for row in codes]


def encoded(backend: Arithmetic, photos: Array, steps: int, encoder: str = "encoder") -> list[Array]:
    """Each photo's codes from an encoder in front of something else: in one pass, or a ReStyle encoder's in ``steps``.

    Such an encoder starts at the constant `ENCODER_latent_avg`, and looks at what the graph `ENCODER_synthesis` draws.
    """
    if not steps:
        codes = backend.run(encoder, {"image": photos})[CODES]
        return list(rows_of(backend, codes, photos.shape[0]))
    own = [backend.constants[average_of(encoder)]] * photos.shape[0]
    for _ in range(steps):
        drawn = [backend.run(synthesis_of(encoder), {CODES: codes})[RECONSTRUCTION] for codes in own]
        own = look_back(backend, photos, drawn, own, encoder)
    return own


def average_of(encoder: str) -> str:
    """Where an encoder that loops in front of something else starts."""
    return f"{encoder}_{AVERAGE}"


def synthesis_of(encoder: str) -> str:
    """The graph of the generator that such an encoder looks at."""
    return f"{encoder}_synthesis"


def look_back(
    backend: Arithmetic,
    photos: Array,
    reconstructions: Sequence[Array],
    codes: Sequence[Array],
    encoder: str = "encoder",
) -> list[Array]:
    """One step of a ReStyle encoder: what it adds to each photo's codes [1, styles, width]."""
    inputs = {"image": photos, "reconstruction": backend.concatenate(reconstructions)}
    found = backend.run(encoder, inputs)[CODES]
    return [backend.add(old, new) for old, new in zip(codes, rows_of(backend, found, len(codes)), strict=True)]
