"""IDInvert on graphs whose descent is written down here: where it starts, what it moves, and what it is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import ArrayError, BundleError, CalibrationError, InversionError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.backends.wrapper import Wrapper
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.methods import method_of
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import SIZE, small_manifest, with_graphs

Toys = Callable[..., Path]
PHOTO = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def opened(toys: Toys, backend: str = "onnxruntime", **settings: Any) -> Session:
    return load(toys("idinvert"), backend=backend, settings=Settings(**settings) if settings else None)


@pytest.mark.parametrize("backend", available())
@pytest.mark.parametrize("rate", [None, 0.05])
def test_adam_starts_at_the_encoders_codes(toys: Toys, backend: str, rate: float | None) -> None:
    """By plain NumPy in float64: a bowl around the means of the photo and of every noise."""
    session = opened(toys, backend, **({} if rate is None else {"rate": rate}))
    photo, constants = session.prepare([PHOTO]), session._backend.constants
    (start,) = session._backend.method.start(session._backend, photo)
    weight = float(constants["loss_weight.idinvert.mse"][0])
    centre = photo.mean() + sum(float(array.mean()) for name, array in constants.items() if name.startswith("noise."))
    codes = start["codes"][0].astype(np.float64)
    first, second = np.zeros_like(codes), np.zeros_like(codes)
    steps = list(session.refine(photo, 30))
    for update, step in enumerate(steps, 1):
        np.testing.assert_allclose(step.codes[0], codes, atol=1e-4)
        np.testing.assert_allclose(step.losses(0)["mse"], np.square(codes - centre).mean(), rtol=1e-3)
        gradient = weight * (codes - centre)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        root = np.sqrt(second / (1 - 0.999**update)) + 1e-8
        codes = codes - (rate or 0.01) * first / (1 - 0.9**update) / root
    assert np.abs(steps[-1].codes - steps[0].codes).max() > 0.1


def test_without_steps_the_encoders_codes_are_drawn_and_no_gradient_is_computed(toys: Toys) -> None:
    ran = []

    class Counting(Wrapper):
        def run(self, graph: str, inputs: Any) -> Any:
            ran.append(graph)
            return super().run(graph, inputs)

    session = opened(toys)
    photo = session.prepare([PHOTO])
    (step,) = refine(Counting(session._backend), photo, 0)
    assert ran == ["encoder", "synthesis_one"]
    assert step.losses(0) == {}
    np.testing.assert_array_equal(session.synthesize(session.invert(PHOTO, steps=0))[0], step.pixels(0))


def test_it_is_the_bundles_own_method_with_its_steps_and_settings(toys: Toys, tmp_path: Path) -> None:
    session = opened(toys)
    found = session.invert(PHOTO)
    assert (session.method, found.method, found.steps, set(found.arrays)) == ("idinvert", "idinvert", 5, {"codes"})
    found.save(tmp_path / "a.inversion")
    np.testing.assert_array_equal(session.synthesize(Inversion.load(tmp_path / "a.inversion"))[0], found.image)
    assert session.settings is not None
    assert "rate 0.05" in str(load(toys("idinvert"), method="idinvert", settings=Settings(rate=0.05)).settings)
    with pytest.raises(InversionError, match="another method"):
        load(toys("psp")).synthesize(found)
    moved = [opened(toys, loss={"mse": weight}).invert(PHOTO, steps=3).codes for weight in (0.0, 1.0)]
    np.testing.assert_array_equal(moved[0], opened(toys).invert(PHOTO, steps=0).codes)  # nothing descends
    assert np.abs(moved[1] - moved[0]).max() > 0.01
    with pytest.raises(ArrayError, match=r"loss has no such term. Got: feature. Expected: mse, encoder"):
        opened(toys, loss={"feature": 1.0})


def test_what_is_for_another_generator_is_refused(toys: Toys) -> None:
    with pytest.raises(ArrayError, match=r"projection is for another generator. Got: stylegan1. Expected: stylegan2"):
        load(toys("idinvert"), method="projection")
    with pytest.raises(ArrayError, match=r"does not run this method. Got: idinvert. Expected: e4e or one of proj"):
        load(toys("e4e"), method="idinvert")
    manifest = with_graphs(small_manifest("psp"))
    other = dataclasses.replace(manifest, generator=dataclasses.replace(manifest.generator, family="stylegan1"))
    with pytest.raises(BundleError, match=r"generator.family is wrong. Got: stylegan1. Expected: stylegan2 for psp"):
        method_of(other)
    own = with_graphs(small_manifest("idinvert"))
    other = dataclasses.replace(own, generator=dataclasses.replace(own.generator, family="stylegan2"))
    with pytest.raises(BundleError, match=r"Got: stylegan2. Expected: stylegan1 for idinvert"):
        method_of(other)
    graphs = {name: graph for name, graph in own.graphs.items() if name != "idinvert_gradient"}
    with pytest.raises(BundleError, match="no idinvert_gradient"):
        method_of(dataclasses.replace(own, graphs=graphs))
    state = (dataclasses.replace(own.state[0], name="latents"),)
    with pytest.raises(BundleError, match="state is wrong"):
        method_of(dataclasses.replace(own, state=state))


def test_a_gradient_is_not_calibrated(toys: Toys, tmp_path: Path) -> None:
    from hyperstyle_deploy.calibration.calibrate import calibrate

    with pytest.raises(CalibrationError, match=r"follows a gradient.*Got: idinvert"):
        calibrate(toys("idinvert"), [tmp_path], tmp_path / "out")


def test_verification_compares_the_start_alone(toys: Toys) -> None:
    from hyperstyle_deploy.demo import PHOTO as DRAWING
    from hyperstyle_deploy.runtime.backends import Options
    from hyperstyle_deploy.runtime.bundle.reader import Bundle
    from hyperstyle_deploy.runtime.quality.verification.plain_backend import PlainBackend
    from hyperstyle_deploy.runtime.quality.verification.verify import Verifier

    bundle = Bundle.open(toys("idinvert"))
    verifier = Verifier(bundle, PlainBackend(bundle), {name: Options() for name in available()})
    comparisons = list(verifier.run([DRAWING], verifier.steps(None)))
    assert [(len(each.steps), each.within) for each in comparisons] == [(1, True)] * len(available())
    with pytest.raises(ArrayError, match=r"Steps of idinvert cannot be held to tolerances. Got: 3. Expected: 0"):
        verifier.steps(3)
