"""Every rewrite against the published formulation in PyTorch, for layers that no golden file tunes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hyperstyle_deploy.export.checkpoint import read_checkpoint
from hyperstyle_deploy.export.comparison import outputs_of
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.graphs import build_graphs
from hyperstyle_deploy.export.hyperstyle import HyperStyle, load_hyperstyle
from hyperstyle_deploy.export.precision import FLOAT16
from hyperstyle_deploy.export.published_loop import refine
from hyperstyle_deploy.export.seeded import write_checkpoints
from hyperstyle_deploy.export.stages.scales import weight_scales
from hyperstyle_deploy.export.verification import PyTorchReference
from hyperstyle_deploy.kernels.arithmetic import tile_offset, tuned_weight, weight_energy
from hyperstyle_deploy.runtime.quality.verification.steps import compare_steps
from hyperstyle_deploy.runtime.session import load

DATA = Path(__file__).parents[2] / "data"

# (data set, separable, layers to tune): toRGB layers, no shared layer, one layer, all layers, indices past the end.
CONFIGURATIONS = {
    "toRGB and channel-wise": ("ffhq_hypernet", False, "1,14,16,19"),
    "one shared layer": ("afhq_wild_hypernet", False, "5"),
    "separable with toRGB, cars": ("cars_hypernet", True, "4,12,14,18,19,23"),
}


@pytest.fixture(scope="module", params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HyperStyle]:
    dataset_type, separable, layers = request.param
    folder = tmp_path_factory.mktemp("checkpoint")
    paths = write_checkpoints(folder, 256, dataset_type, separable, layers)
    yield load_hyperstyle(*map(read_checkpoint, paths))
    for path in paths:
        path.unlink()


@torch.no_grad()
def test_the_stages_reproduce_the_loop(model: HyperStyle) -> None:
    """Two steps through the stage modules, as the runtime strings them together."""
    graphs = {graph.name: graph for graph in build_graphs(model)}
    stages = {name: graph.module for name, graph in graphs.items()}
    size = model.config.image
    photos = 2 if model.config.separable else 1  # the other formulation takes half a minute a photo
    images = (
        torch.rand(photos, 3, size.input_height, size.input_width, generator=torch.Generator().manual_seed(3)) * 2 - 1
    )
    expected = list(refine(model, images.numpy(), 2))
    codes = stages["encoder"](images)
    np.testing.assert_allclose(codes, expected[0].codes, atol=2e-5)
    tuned = [layer for layer in model.config.layers if layer.tuned]
    y = torch.from_numpy(reconstruction(expected[0].image, size.input_height))
    kept = [stages["hypernet"](images, y)]
    y = torch.from_numpy(reconstruction(expected[1].image, size.input_height))
    kept.append(stages["hypernet"](images, y))
    noises = graphs["synthesis"].args[-1]
    for photo in range(photos):
        history = torch.stack([step[photo] for step in kept])
        history = history if model.config.separable else history.sum(0, keepdim=True)
        steps = torch.tensor(2.0)
        offsets = stages["offsets"](history, steps)
        for layer, offset in zip(tuned, offsets, strict=True):
            want = expected[2].offsets[layer.index][photo]
            np.testing.assert_allclose(tile_offset(offset.numpy(), layer.kernel), want, atol=5e-6)
        tensors = stages["weights"](history, steps)
        weights, energies = tensors[: len(tuned)], tensors[len(tuned) :]
        check_modulation(model, photo, expected[2].offsets, weights, energies)
        for form in ("synthesis", "synthesis_one"):
            image, _ = stages[form](codes[photo : photo + 1], weights, energies, noises)
            np.testing.assert_allclose(image, expected[2].image[photo : photo + 1], atol=5e-5)


def reconstruction(image: np.ndarray, height: int) -> np.ndarray:
    """At 256 nothing is pooled: the fed-back image is the result."""
    assert image.shape[2] == height
    return image


def check_modulation(
    model: HyperStyle, photo: int, offsets: dict[int, np.ndarray], weights: list, energies: list
) -> None:
    """Tuned weights and energies against the plain numpy reference."""
    remaining = iter(energies)
    for layer, weight in zip([layer for layer in model.config.layers if layer.tuned], weights, strict=True):
        conv = model.generator.get_submodule(layer.name).conv
        want = tuned_weight((conv.scale * conv.weight[0]).numpy(), offsets[layer.index][photo])
        axes = (1, 0, 2, 3) if layer.up else (0, 1, 2, 3)
        np.testing.assert_allclose(weight.numpy().transpose(axes), want, atol=1e-6)
        if layer.demodulated:
            energy = next(remaining).numpy()
            np.testing.assert_allclose(energy.T if layer.up else energy, weight_energy(want), rtol=2e-5)


@torch.no_grad()
def test_what_16_bits_need_changes_nothing(model: HyperStyle) -> None:
    """The stages with peaks, scales and folded batch norms, in float32: the same results, weights in other units."""
    for plain, exact in zip(build_graphs(model), build_graphs(model, FLOAT16.exact), strict=True):
        for name, want, got in zip(plain.outputs, outputs_of(plain), outputs_of(exact), strict=True):
            assert got.dtype is torch.float32
            scaled = got * units(model, name)
            limit = 1e-5 * float(want.abs().max())
            torch.testing.assert_close(scaled, want, rtol=0, atol=limit, msg=lambda text, name=name: f"{name}: {text}")


def units(model: HyperStyle, output: str) -> torch.Tensor:
    """What an output of `weights` is divided by in 16 bits; 1 for every other output."""
    kind, _, name = output.partition(".")
    if kind not in ("weight", "energy"):
        return torch.ones(())
    layer = next(layer for layer in model.config.layers if layer.name == name)
    scales = weight_scales(model.generator, layer, FLOAT16.exact)
    scales = scales if layer.up else scales[:, None]
    return scales[..., None, None] if kind == "weight" else scales.square()


@pytest.mark.exhaustive
def test_all_layers_through_the_exported_graphs(tmp_path: Path) -> None:
    """Every layer tuned ('' in the options), toRGB included, on cars with the separable hypernetwork."""
    checkpoint, encoder = write_checkpoints(tmp_path, 256, "cars_hypernet", separable=True, layers_to_tune="")
    session = load(export(checkpoint, encoder, tmp_path / "bundle").path, backend="onnxruntime")
    assert len(session.manifest.tuned) == 20
    images = session.prepare([DATA / "cars.png"])
    reference = PyTorchReference(session.manifest, checkpoint, encoder)
    steps = compare_steps(session, images, reference.states(images, 2), 2)
    assert [step.index for step in steps] == [0, 1, 2]
    assert all(step.within for step in steps), steps
