"""Each method's arithmetic, on graphs whose answers are written down here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime.methods import METHODS, method_of
from hyperstyle_deploy.runtime.methods.base import Method
from hyperstyle_deploy.tests.small_bundle import small_manifest, with_graphs

PHOTOS = np.stack([np.full((3, 4, 4), value, np.float32) for value in (1.0, 2.0)])


class Numbers:
    """A backend whose graphs are functions of numbers; notes what was asked of it."""

    def __init__(self, **graphs: Any) -> None:
        self._graphs, self.asked = graphs, []
        self.constants = {"latent_avg": np.full((1, 2, 3), 10.0), "encoder_latent_avg": np.full((1, 2, 3), 100.0)}

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        self.asked.append((graph, *sorted(inputs)))
        return self._graphs[graph](**inputs)

    def add(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left + right

    def adam(
        self, variable: str, value: np.ndarray, gradient: np.ndarray, moments: Any, rates: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        return value - rates[0] * gradient, *moments

    def row(self, array: np.ndarray, index: int) -> np.ndarray:
        return array[index : index + 1]

    def concatenate(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(rows)


def method(name: str, **options: Any) -> Method:
    return method_of(with_graphs(small_manifest(name, **options)))


def codes_of(values: Sequence[float]) -> np.ndarray:
    return np.stack([np.full((2, 3), value) for value in values])


def encoder(image: np.ndarray, reconstruction: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Ten times the photo, less the reconstruction."""
    seen = 0 if reconstruction is None else reconstruction.mean((1, 2, 3))
    return {"codes": codes_of(10 * image.mean((1, 2, 3)) - seen)}


def picture(value: float) -> np.ndarray:
    return np.full((1, 3, 4, 4), value, np.float32)


@pytest.mark.parametrize("name", ["psp", "e4e"])
def test_one_pass_is_the_encoders_codes(name: str) -> None:
    backend = Numbers(encoder=encoder)
    states = method(name).start(backend, PHOTOS)
    assert [state["codes"].shape for state in states] == [(1, 2, 3)] * 2
    assert [float(state["codes"].mean()) for state in states] == [10, 20]
    assert method(name).weights(backend, states[0], np.float32(0)) == {}
    assert backend.asked == [("encoder", "image")]


@pytest.mark.parametrize("name", ["restyle-psp", "restyle-e4e"])
def test_restyle_starts_at_the_average_and_adds_what_the_encoder_finds(name: str) -> None:
    backend = Numbers(encoder=encoder)
    states = method(name).start(backend, PHOTOS)
    assert [float(state["codes"].mean()) for state in states] == [10, 10]
    assert backend.asked == []
    states = method(name).advance(backend, PHOTOS, [picture(3), picture(4)], states)
    assert [float(state["codes"].mean()) for state in states] == [10 + 10 - 3, 10 + 20 - 4]
    states = method(name).advance(backend, PHOTOS, [picture(5), picture(6)], states)
    assert [float(state["codes"].mean()) for state in states] == [17 + 10 - 5, 26 + 20 - 6]
    assert backend.asked == [("encoder", "image", "reconstruction")] * 2


def hypernet(image: np.ndarray, reconstruction: np.ndarray) -> dict[str, np.ndarray]:
    off = (image - reconstruction).mean((1, 2, 3))
    return {"offset_codes": np.stack([np.full((4, 5), value) for value in off])}


def test_hyperstyle_sums_offset_codes_and_leaves_codes_alone() -> None:
    backend = Numbers(
        encoder=encoder, hypernet=hypernet, weights=lambda offset_codes, steps: {"weight": offset_codes * steps}
    )
    model = method("hyperstyle")
    started = model.start(backend, PHOTOS)
    assert [set(state) for state in started] == [{"codes"}] * 2
    states = [{**state, "offset_codes": np.zeros((1, 4, 5))} for state in started]
    for drawn in ((0.0, 0.5), (0.25, 1.0)):
        states = model.advance(backend, PHOTOS, [picture(value) for value in drawn], states)
    assert [float(state["codes"].mean()) for state in states] == [10, 20]
    assert [float(state["offset_codes"].mean()) for state in states] == [1 + 0.75, 1.5 + 1]
    assert states[0]["offset_codes"].shape == (1, 4, 5)
    assert float(model.weights(backend, states[0], np.float32(2))["weight"].mean()) == 3.5


def test_a_separable_hypernetwork_keeps_the_codes_of_every_step() -> None:
    backend = Numbers(encoder=encoder, hypernet=hypernet)
    model = method("hyperstyle", separable=True)
    states = model.start(backend, PHOTOS)
    for drawn in ((0.0, 0.5), (0.25, 1.0)):
        states = model.advance(backend, PHOTOS, [picture(value) for value in drawn], states)
    assert states[1]["offset_codes"].shape == (2, 4, 5)
    assert states[1]["offset_codes"].mean((1, 2)).tolist() == [1.5, 1.0]


def test_hyperstyle_on_a_restyle_encoder_draws_with_that_encoders_generator() -> None:
    backend = Numbers(encoder=encoder, encoder_synthesis=lambda codes: {"reconstruction": picture(codes.mean() / 100)})
    states = method("hyperstyle", encoder_steps=2).start(backend, PHOTOS[:1])
    first = 100 + 10 - 1.0
    np.testing.assert_allclose(states[0]["codes"].mean(), first + 10 - first / 100)
    assert backend.asked == [("encoder_synthesis", "codes"), ("encoder", "image", "reconstruction")] * 2


def test_every_method_says_what_it_needs() -> None:
    for name in METHODS:
        signatures = method(name).signatures()
        assert {"encoder", "synthesis", "synthesis_one"} <= set(signatures)
        assert signatures["synthesis"].inputs[0].shape[1:] == (8, 8)
    with pytest.raises(BundleError, match=r"method.name is unknown. Got: pti. Expected: one of psp, e4e"):
        method_of(small_manifest("pti"))
