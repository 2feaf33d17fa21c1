"""ReStyle (Alaluf et al., ICCV 2021), with pSp's or e4e's encoder: the codes themselves are refined."""

from collections.abc import Mapping, Sequence

from .base import CODES, Arithmetic, Array, Arrays, Method, Signature, rows_of

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


def look_back(
    backend: Arithmetic, photos: Array, reconstructions: Sequence[Array], codes: Sequence[Array]
) -> list[Array]:
    """One step of a ReStyle encoder: what it adds to each photo's codes [1, styles, width]."""
    inputs = {"image": photos, "reconstruction": backend.concatenate(reconstructions)}
    found = backend.run("encoder", inputs)[CODES]
    return [backend.add(old, new) for old, new in zip(codes, rows_of(backend, found, len(codes)), strict=True)]
