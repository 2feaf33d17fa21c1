"""The authors' own optimisations, step by step: codes, noises, gradients, losses and pictures of published projectors.

All in the published layout at 256, with networks that are seeded: minutes, so with the exhaustive tests alone.
"""

import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hyperstyle_deploy.export.gradients.criterion import features_graph
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, read_lpips
from hyperstyle_deploy.export.gradients.projection import projection_constants, projection_graphs
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.gradients.tuning import tuning_constants, tuning_graphs
from hyperstyle_deploy.export.seeded import draw
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.backends.base import Backend
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.refinement.loop import Step, refine
from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle, generator_model, write_graphs

DATA = Path(__file__).parents[1] / "data"
pytestmark = pytest.mark.exhaustive
#: Relative to the largest: losses before any step, and later; then codes, noises and pictures, absolute.
FIRST_LOSS, LATER_LOSS, STATE = 1e-5, 1e-4, 2e-3


def drawn(name: str, *shape: int) -> np.ndarray:
    """A tensor of the golden files' randomness."""
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return stream.standard_normal(shape, dtype=np.float32)


def sample(name: str, size: int) -> np.ndarray:
    """Which entries of a large tensor a golden file holds."""
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return np.sort(stream.choice(size, min(64, size), replace=False))


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> GraphsBundle:
    folder, model = tmp_path_factory.mktemp("projection256"), generator_model()
    criterion = read_lpips(*write_lpips(folder, VGG16))
    latents = torch.from_numpy(drawn("projection256.z", 10_000, model.generator.shape.width))
    constants = projection_constants(model, criterion, latents)
    graphs = [features_graph(criterion, model.image), *projection_graphs(model, criterion, latents)]
    return write_graphs(folder, model, graphs, constants)


def opened(bundle: GraphsBundle, backend: str, name: str, settings: Settings) -> Backend:
    return open_backend(backend, bundle.running(name, settings), Options())


def photo() -> np.ndarray:
    """The golden picture in [-1, 1], [1, 3, 256, 256]."""
    pixels = np.asarray(Image.open(DATA / "faces.png").convert("RGB"), np.float32)
    return np.ascontiguousarray(((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None])


class Given:
    """What the authors' code was given in place of its own draws."""

    def __init__(self, variant: str, sides: Sequence[int]) -> None:
        self._variant, self._sides = variant, sides

    def draws(self, name: str, index: int, shape: Sequence[int]) -> np.ndarray:
        if name == "noises":
            noises = [drawn(f"projection256.noise_{j}", 1, side**2) for j, side in enumerate(self._sides)]
            return np.concatenate(noises, 1)
        return (
            drawn(f"projection256.{self._variant}.w_noise.{index}", *shape)
            if index < 5
            else np.zeros(shape, np.float32)
        )


@pytest.mark.parametrize("variant", ["w", "wplus"])
@pytest.mark.parametrize("backend", available())
def test_a_projection_is_the_authors(projected: GraphsBundle, backend: str, variant: str) -> None:
    expected = np.load(DATA / "projection256.npz")
    settings = Settings(space="w+", loss={"mse": 1.0}) if variant == "wplus" else Settings(space="w")
    running = opened(projected, backend, "projection", settings)
    sides = [layer.resolution for layer in running.manifest.layers if layer.demodulated]
    running.method.draws = Given(variant, sides).draws
    np.testing.assert_allclose(running.constants["average_w"][0, 0], expected["latent_mean"], atol=1e-5)
    for step in refine(running, photo(), 5):
        if step.index:
            check_variables(step, expected, variant, sides)
        if step.index < 5:
            limit = LATER_LOSS if step.index else FIRST_LOSS
            for name, key in (("lpips", "p_loss"), ("noise", "n_loss"), ("mse", "mse_loss")):
                want = expected[f"{variant}.{key}"][step.index]
                np.testing.assert_allclose(step.losses(0)[name], want, rtol=limit, err_msg=f"{name} {step.index}")
        if step.index == 4:
            picture = step.reconstruction[0]
            pooled = picture.reshape(3, 64, 4, 64, 4).mean((2, 4))
            np.testing.assert_allclose(pooled, expected[f"{variant}.image_pool64"], atol=STATE)
            np.testing.assert_allclose(picture[:, 96:160, 96:160], expected[f"{variant}.image_crop64"], atol=STATE)


def check_variables(step: Step, expected: np.lib.npyio.NpzFile, variant: str, sides: Sequence[int]) -> None:
    """Codes and the sampled entries of every noise buffer after an update."""
    arrays, index = step.arrays(0), step.index - 1
    want = expected[f"{variant}.latent"][index, 0]
    np.testing.assert_allclose(arrays["codes"], np.broadcast_to(want, arrays["codes"].shape), atol=STATE)
    ends = np.cumsum([0, *(side**2 for side in sides)])
    for j, (start, end) in enumerate(pairwise(ends)):
        chosen = sample(f"projection256.noise_{j}", end - start)
        want = expected[f"{variant}.noise"][index, j, : len(chosen)]
        np.testing.assert_allclose(arrays["noises"][start:end][chosen], want, atol=STATE, err_msg=f"noise {j}")


@pytest.fixture(scope="module", params=["alex", "vgg"])
def tuned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, GraphsBundle]:
    folder, model = tmp_path_factory.mktemp(f"pti256-{request.param}"), generator_model()
    criterion = read_lpips(*write_lpips(folder, ALEXNET if request.param == "alex" else VGG16))
    graphs = [features_graph(criterion, model.image), *tuning_graphs(model, criterion)]
    return request.param, write_graphs(folder, model, graphs, tuning_constants(criterion))


@pytest.mark.parametrize("backend", available())
def test_a_tuning_is_the_authors(tuned: tuple[str, GraphsBundle], backend: str) -> None:
    variant, bundle = tuned
    expected = np.load(DATA / "pti256.npz")
    count = len(expected[f"{variant}.loss"])
    width = bundle.manifest.generator.width
    pivot = np.repeat(drawn("pti256.pivot", 1, width) * np.float32(0.5), bundle.manifest.generator.styles, 0)
    running = opened(bundle, backend, "pti", Settings(pivot=pivot))
    for step in refine(running, photo(), count):
        if step.index < count:
            losses, limit = step.losses(0), LATER_LOSS if step.index else FIRST_LOSS
            for name, key in (("mse", "l2"), ("lpips", "lpips")):
                np.testing.assert_allclose(losses[name], expected[f"{variant}.{key}"][step.index], rtol=limit)
        if step.index == 0 and variant == "alex":
            crop = expected["alex.image_initial_crop64"]
            np.testing.assert_allclose(step.reconstruction[0][:, 96:160, 96:160], crop, atol=5e-5)
        if step.index:
            check_weights(step, expected, variant, running.method.tensors)
    if variant == "alex":
        pooled = step.reconstruction[0].reshape(3, 64, 4, 64, 4).mean((2, 4))
        np.testing.assert_allclose(pooled, expected["alex.image_final_pool64"], atol=STATE)


def check_weights(
    step: Step, expected: np.lib.npyio.NpzFile, variant: str, tensors: Mapping[str, tuple[int, ...]]
) -> None:
    """The sampled entries of tuned tensors after an update, within a tenth of the learning rate."""
    differences, ends = step.arrays(0)["differences"], np.cumsum([0, *map(prod, tensors.values())])
    for (name, shape), start in zip(tensors.items(), ends[:-1], strict=True):
        if f"{variant}.w.{name}" not in expected:
            continue
        chosen = sample(f"pti256.{name}", prod(shape))
        base = draw(f"decoder.{name}", shape).reshape(-1)[chosen]
        found = base + differences[start : start + prod(shape)][chosen]
        want = expected[f"{variant}.w.{name}"][step.index - 1, : len(chosen)]
        np.testing.assert_allclose(found, want, atol=0.1 * 3e-4, rtol=1e-6, err_msg=f"{name} {step.index}")
