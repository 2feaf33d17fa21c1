"""IDInvert (Zhu et al., "In-Domain GAN Inversion for Real Image Editing", ECCV 2020): an encoder, then a descent."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..manifest.checks import wrong
from ..manifest.manifest import TensorSpec
from .base import CODES, Arithmetic, Array, Arrays, Method, Signature, rows_of
from .optimisation import FIRST, Optimisation

GRADIENT_GRAPH = "idinvert_gradient"


class IDInvert(Optimisation):
    """``codes = encoder(x)``, then Adam on them; the encoder is in the loss, too, and keeps them in its domain.

    ``mse(x, y) + 5e-5 mse(F(x), F(y)) + 2 mse(codes, encoder(y))`` with ``y = G(codes)`` and the features F of VGG16;
    without F in a bundle whose exporter was given none. The generator is StyleGAN1, its noises stay as they are.
    """

    called = exported_as = "idinvert"
    families = ("stylegan1",)
    gradient_graph = GRADIENT_GRAPH
    variables = (CODES,)
    rate = 0.01
    usual_steps = 100

    @property
    def default_steps(self) -> int:
        return self.manifest.method.default_steps

    def variable_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {CODES: (1, self._generator.styles, self._generator.width)}

    def gradient_tensors(self) -> tuple[str, ...]:
        return (CODES,)

    def others(self) -> tuple[TensorSpec, ...]:
        return self.noises()

    def graphs(self) -> Mapping[str, Signature]:
        return {"encoder": self.encoder(looks_back=False), **super().graphs()}

    def check_method(self) -> None:
        Method.check_method(self)
        if GRADIENT_GRAPH not in self.manifest.graphs:
            raise wrong("graphs", f"no {GRADIENT_GRAPH}", "every graph of the method")
        super().check_method()

    def given(self, index: int, steps: int) -> Mapping[str, NDArray[np.float32]]:
        return super().given(index, steps) if steps else {}

    def draw(self, backend: Arithmetic, photo: Array, state: Arrays, steps: Array | None) -> Arrays:
        # With no step to come nothing descends: then the encoder's codes are drawn, without a gradient.
        if f"{FIRST}{CODES}" not in state:
            return Method.draw(self, backend, photo, state, steps)
        return super().draw(backend, photo, state, steps)

    def start(self, backend: Arithmetic, photos: Array) -> list[Arrays]:
        codes = backend.run("encoder", {"image": photos})[CODES]
        rows = rows_of(backend, codes, photos.shape[0])
        return [{CODES: row, **seen} for row, seen in zip(rows, self.seen(backend, photos), strict=True)]
