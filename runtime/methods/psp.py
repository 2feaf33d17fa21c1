"""pSp (Richardson et al., CVPR 2021) and e4e (Tov et al., SIGGRAPH 2021): one pass of an encoder, nothing to refine."""

from collections.abc import Mapping

from .base import CODES, Arithmetic, Array, Arrays, Method, Signature, rows_of


class OnePass(Method):
    """``codes = encoder(x)``. pSp also translates: from drawings in grey, or from label maps."""

    refines = False
    kinds = ("photo", "sketch", "labels")

    def graphs(self) -> Mapping[str, Signature]:
        return {"encoder": self.encoder(looks_back=False)}

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        codes = backend.run("encoder", {"image": photos})[CODES]
        return [{CODES: row} for row in rows_of(backend, codes, photos.shape[0])]
