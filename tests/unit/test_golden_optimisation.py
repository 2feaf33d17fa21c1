"""The authors' own optimisations, step by step: codes, noises, gradients, losses and pictures of published projectors.

All in the published layout at 256, with networks that are seeded: minutes, so with the exhaustive tests alone.
"""

from collections.abc import Callable

import numpy as np
import pytest

from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.refinement.loop import refine
from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle
from hyperstyle_deploy.tests.unit.golden_optimisation import (
    DATA,
    Given,
    State,
    check_projection,
    check_tuning,
    photo,
    pivot,
    projection_draws,
    tuning_draws,
    tuning_steps,
)

pytestmark = pytest.mark.exhaustive


def opened(bundle: GraphsBundle, backend: str, name: str, settings: Settings, given: Given) -> Backend:
    """A backend on graphs, which takes what is given in place of its own draws."""
    running = open_backend(backend, bundle.running(name, settings), Options())
    running.method.draws = given.draws
    return running


@pytest.mark.parametrize("variant", ["w", "wplus"])
@pytest.mark.parametrize("backend", available())
def test_a_projection_is_the_authors(golden: Callable[[str], GraphsBundle], backend: str, variant: str) -> None:
    projected = golden("projection")
    settings = Settings(space="w+", loss={"mse": 1.0}) if variant == "wplus" else Settings(space="w")
    generator = projected.manifest.generator
    sides = [layer.resolution for layer in generator.layers if layer.demodulated]
    given = projection_draws(variant, sides, generator.styles, generator.width)
    running = opened(projected, backend, "projection", settings, given)
    mean = np.load(DATA / "projection256.npz")["latent_mean"]
    np.testing.assert_allclose(running.constants["average_w"][0, 0], mean, atol=1e-5)
    check_projection(map(State.of, refine(running, photo(), 5)), variant, sides)


@pytest.mark.parametrize("variant", ["alex", "locality", "vgg"])
@pytest.mark.parametrize("backend", available())
def test_a_tuning_is_the_authors(golden: Callable[[str], GraphsBundle], backend: str, variant: str) -> None:
    bundle = golden("vgg" if variant == "vgg" else "alex")
    generator = bundle.manifest.generator
    settings = Settings(pivot=pivot(generator.styles, generator.width), locality=variant == "locality")
    running = opened(bundle, backend, "pti", settings, tuning_draws(generator.width))
    check_tuning(map(State.of, refine(running, photo(), tuning_steps(variant))), variant, running.method.tensors)
