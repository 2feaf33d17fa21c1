"""PTI on graphs whose descent is written down here: where it starts, what it moves, when it stops, what it keeps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, BundleError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.methods.optimisation import Settings
from hyperstyle_deploy.runtime.methods.tuning import tuned_tensors
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import SIZE, STYLES, WIDTH, small_manifest

Toys = Callable[..., Path]
PHOTO = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def opened(toys: Toys, base: str, backend: str = "onnxruntime", settings: Settings | None = None) -> Session:
    return load(toys(base, gradients=("pti",)), backend=backend, method="pti", settings=settings)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("base", ["e4e", "restyle-psp", "hyperstyle"])
def test_tuning_starts_where_the_bundles_own_method_ends(toys: Toys, base: str, backend: str) -> None:
    session = opened(toys, base, backend)
    own = load(toys(base, gradients=("pti",)), backend=backend)
    *_, last = own.refine(own.prepare([PHOTO]))
    steps = list(session.refine(session.prepare([PHOTO]), 3))
    for step in steps:
        np.testing.assert_allclose(step.codes, last.codes, atol=1e-5)
    start = steps[0].arrays(0)["differences"]
    if base == "hyperstyle":
        np.testing.assert_allclose(start, last.offset_codes.mean() * 5, rtol=1e-4)
    else:
        assert np.abs(start).max() == 0


@pytest.mark.parametrize("backend", available())
def test_adam_moves_every_number_and_no_code(toys: Toys, backend: str) -> None:
    """By plain NumPy: a bowl around the mean of photo and codes; every number is alike, so that one stands for all."""
    session = opened(toys, "e4e", backend, Settings(rate=0.01))
    photo = session.prepare([PHOTO])
    steps = list(session.refine(photo, 60))
    centre = photo.mean() + steps[0].codes.mean()
    weight = float(session._backend.constants["loss_weight.pti.mse"][0])
    value = first = second = 0.0
    for update, step in enumerate(steps, 1):
        found = step.arrays(0)["differences"]
        np.testing.assert_allclose(found, value, atol=1e-5)
        np.testing.assert_allclose(step.losses(0)["mse"], (value - centre) ** 2, rtol=1e-3, atol=1e-6)
        gradient = weight * (value - centre)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        value -= 0.01 * first / (1 - 0.9**update) / (np.sqrt(second / (1 - 0.999**update)) + 1e-8)
    assert steps[-1].losses(0)["mse"] < 0.5 * steps[0].losses(0)["mse"] or abs(centre) < 0.01
    np.testing.assert_array_equal(steps[-1].codes, steps[0].codes)


def test_a_pivot_that_is_given_stays(toys: Toys) -> None:
    pivot = np.random.default_rng(1).standard_normal((STYLES, WIDTH)).astype(np.float32)
    found = opened(toys, "hyperstyle", settings=Settings(pivot=pivot)).invert(PHOTO, steps=2)
    np.testing.assert_array_equal(found.codes, pivot)
    assert found.method == "pti"
    assert 0 < np.abs(found.arrays["differences"]).max() <= 2.1 * 3e-4
    with pytest.raises(ArrayError, match=r"pivot does not fit. Got: \[1, 8\]. Expected: finite codes \[8, 8\]"):
        opened(toys, "e4e", settings=Settings(pivot=pivot[:1]))


def test_a_photo_stops_once_its_lpips_is_low(toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(toys, "e4e", settings=Settings(rate=0.05))
    method = session._backend.method
    assert not method.enough({"mse": 0.0})  # without LPIPS nothing stops early
    assert method.enough({"lpips": 0.06})
    assert not method.enough({"lpips": 0.061})
    losses = [step.losses(0)["mse"] for step in session.refine(session.prepare([PHOTO]), 10)]
    monkeypatch.setattr(method, "enough", lambda now: now["mse"] <= losses[4])
    found = session.invert(PHOTO, steps=10)
    assert found.steps == next(index for index, loss in enumerate(losses) if loss <= losses[4])


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_differences_are_stored_in_few_bits_and_the_loss_is_told(toys: Toys, stored: str, tmp_path: Path) -> None:
    session = opened(toys, "hyperstyle", settings=Settings(rate=0.01))
    found = session.invert(PHOTO, steps=3)
    found.save(tmp_path / "a.inversion", stored)
    loaded = Inversion.load(tmp_path / "a.inversion")
    exact, kept = found.arrays["differences"], loaded.arrays["differences"]
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(loaded.codes, found.codes)
    limit = {"float32": 0.0, "float16": 2.0**-11, "int8": 0.51 / 127}[stored]
    assert np.abs(kept - exact).max() <= limit * np.abs(exact).max()
    size = {"float32": 4, "float16": 2, "int8": 1}[stored]
    assert (tmp_path / "a.inversion").stat().st_size < size * 1.05 * exact.size + 4 * found.codes.size + 1200
    assert session.synthesize(loaded).shape == (1, SIZE, SIZE, 3)


def test_what_is_tuned_is_all_of_synthesis(toys: Toys) -> None:
    tensors = tuned_tensors(small_manifest("e4e").layers, WIDTH)
    # The constant, five tensors a convolution, four a toRGB; 32 pixels have 7 and 4 of these.
    assert len(tensors) == 1 + 5 * 7 + 4 * 4
    assert tensors["convs.0.conv.weight"] == (1, 8, 8, 3, 3)
    session = opened(toys, "e4e")
    assert session._backend.method.gradient_tensors() == tuple(tensors)
    with pytest.raises(BundleError, match=r"no gradient graphs for pti.*again with --gradients pti"):
        load(toys("e4e", gradients=("projection",)), method="pti")
