"""Every rewrite against the published formulation in PyTorch: all methods and encoders, layers no golden file tunes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hyperstyle_deploy.export.comparison import outputs_of
from hyperstyle_deploy.export.graphs import build_graphs, graph_count, measure_scales, model_constants
from hyperstyle_deploy.export.methods.loading import load_model
from hyperstyle_deploy.export.methods.model import NO_CHOICES, Choices, Model
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.precision import FLOAT16, FLOAT32
from hyperstyle_deploy.export.published_loop import refine
from hyperstyle_deploy.export.stages.resampling import AveragePool, corner_aligned, window_means
from hyperstyle_deploy.export.stages.scales import weight_scales
from hyperstyle_deploy.kernels.arithmetic import tile_offset, tuned_weight, weight_energy
from hyperstyle_deploy.runtime.manifest.layers import Layer
from hyperstyle_deploy.tests.unit.export.conftest import Read


@dataclass(frozen=True)
class Case:
    """A model: what ``write_checkpoints`` takes, and for HyperStyle, in ``encoder``, what its second file is."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: tuple[str, Mapping[str, Any]] | None = None
    choices: Choices = NO_CHOICES


CASES = {
    "psp": Case("psp"),
    "psp, W": Case("psp", {"encoder_type": "BackboneEncoderUsingLastLayerIntoW"}),
    "psp, W+ at an odd size": Case(
        "psp", {"encoder_type": "BackboneEncoderUsingLastLayerIntoWPlus"}, choices=Choices(input_size=50)
    ),
    "psp, sketches": Case("psp", {"labels": 1}),
    "psp, label maps": Case("psp", {"labels": 5}),
    "e4e": Case("e4e"),
    "e4e, cars": Case("e4e", {"dataset_type": "cars"}),
    "e4e, one code": Case("e4e", {"encoder_type": "SingleStyleCodeEncoder"}),
    "restyle-psp": Case("restyle-psp"),
    "restyle-psp, ResNet": Case("restyle-psp", {"encoder_type": "ResNetBackboneEncoder"}),
    "restyle-psp, pyramid": Case("restyle-psp", {"encoder_type": "GradualStyleEncoder"}),
    "restyle-psp, ResNet pyramid": Case("restyle-psp", {"encoder_type": "ResNetGradualStyleEncoder"}),
    "restyle-e4e, cars": Case("restyle-e4e", {"dataset_type": "cars"}),
    "restyle-e4e, ResNet at an odd size": Case(
        "restyle-e4e", {"encoder_type": "ResNetProgressiveBackboneEncoder"}, choices=Choices(input_size=44)
    ),
    "hyperstyle": Case("hyperstyle"),
    "hyperstyle, toRGB and channel-wise": Case("hyperstyle", {"layers_to_tune": "1,8,10,12,13"}),
    "hyperstyle, one shared layer": Case("hyperstyle", {"layers_to_tune": "5", "dataset_type": "afhq_wild"}),
    "hyperstyle, separable, all layers, cars": Case(
        "hyperstyle", {"separable": True, "layers_to_tune": "", "dataset_type": "cars"}
    ),
    "hyperstyle, e4e's codes": Case("hyperstyle", {}, ("e4e", {"prefix": "other/"})),
    "hyperstyle, ReStyle's codes": Case(
        "hyperstyle", {}, ("restyle-e4e", {"prefix": "other/"}), Choices(encoder_steps=2)
    ),
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def model(request: pytest.FixtureRequest, read: Read) -> Model:
    case: Case = request.param
    files = read(case.method, **case.options)
    if case.encoder is not None:
        other, options = case.encoder
        files = (files[0], *read(other, **options))
    return load_model(files, case.choices)


def photos_for(model: Model) -> Tensor:
    """Two inputs of a model's kind."""
    image = model.image
    values = torch.rand(
        2, image.channels, image.input_height, image.input_width, generator=torch.Generator().manual_seed(3)
    )
    if image.kind == "labels":
        return torch.nn.functional.one_hot(values.argmax(1), image.channels).movedim(3, 1).float()
    return values if image.kind == "sketch" else values * 2 - 1


class Stages:
    """The stage modules of a model by name, run as the runtime does: by named arrays, constants for what is missing."""

    def __init__(self, model: Model) -> None:
        self.graphs = {graph.name: graph for graph in build_graphs(model)}
        self.constants = model_constants(model, FLOAT32, measure_scales(model, FLOAT32))

    def run(self, name: str, **inputs: Tensor) -> dict[str, Tensor]:
        graph = self.graphs[name]
        arrays = [inputs[each] if each in inputs else self.constants[each] for each in graph.inputs]
        args = torch.utils._pytree.tree_unflatten(arrays, torch.utils._pytree.tree_structure(graph.args))
        return dict(zip(graph.outputs, torch.utils._pytree.tree_leaves(graph.module(*args)), strict=True))


def start(stages: Stages, model: Model, x: Tensor) -> Tensor:
    """Codes before refinement, as the methods of the runtime start."""
    if model.average is not None:
        return stages.run("encoder", image=x)["codes"]
    if model.loop is None:
        return stages.constants["latent_avg"].expand(len(x), -1, -1)
    codes = stages.constants["encoder_latent_avg"].expand(len(x), -1, -1)
    for _ in range(model.method.encoder_steps):
        drawn = [stages.run("encoder_synthesis", codes=row[None])["reconstruction"] for row in codes]
        codes = codes + stages.run("encoder", image=x, reconstruction=torch.cat(drawn))["codes"]
    return codes


@torch.no_grad()
def test_the_stages_reproduce_the_loop(model: Model) -> None:
    """Two steps of two photos through the stage modules, as the runtime strings them together."""
    stages, x = Stages(model), photos_for(model)
    assert len(stages.graphs) == graph_count(model)
    steps = 2 if model.method.default_steps else 0
    expected = list(refine(model, x.numpy(), steps))
    codes, history = start(stages, model, x), list[Tensor]()
    for index in range(steps + 1):
        np.testing.assert_allclose(codes, expected[index].codes, atol=2e-5)
        own = [kept(history, photo, model) for photo in range(len(x))]
        drawn = [draw(stages, codes[photo : photo + 1], own[photo], index) for photo in range(len(x))]
        for photo, pictures in enumerate(drawn):
            for image, _ in pictures:
                np.testing.assert_allclose(image, expected[index].image[photo : photo + 1], atol=5e-5)
            if own[photo] is not None:
                check_offsets(stages, model, own[photo], index, expected[index].offsets, photo)
        if index < steps:
            y = torch.cat([pictures[-1][1] for pictures in drawn])
            if model.hypernet is None:
                codes = codes + stages.run("encoder", image=x, reconstruction=y)["codes"]
            else:
                history.append(stages.run("hypernet", image=x, reconstruction=y)["offset_codes"])


def kept(history: Sequence[Tensor], photo: int, model: Model) -> Tensor | None:
    """A photo's offset codes after the steps so far: their sum, or those of every step."""
    if not history:
        return None
    codes = torch.stack([step[photo] for step in history])
    return codes if model.bilinear else codes.sum(0, keepdim=True)


def draw(stages: Stages, codes: Tensor, offset_codes: Tensor | None, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Image and reconstruction of one photo, by both forms of `synthesis`."""
    own: dict[str, Tensor] = {}
    if offset_codes is not None:
        own = stages.run("weights", offset_codes=offset_codes, steps=torch.tensor(float(steps)))
    drawn = (stages.run(form, codes=codes, **own) for form in ("synthesis", "synthesis_one"))
    return [(pictures["image"], pictures["reconstruction"]) for pictures in drawn]


def check_offsets(
    stages: Stages, model: Model, offset_codes: Tensor, steps: int, expected: dict[int, np.ndarray], photo: int
) -> None:
    """Offsets against the published ones; weights and energies against the plain NumPy reference on those."""
    inputs = {"offset_codes": offset_codes, "steps": torch.tensor(float(steps))}
    offsets, weights = stages.run("offsets", **inputs), stages.run("weights", **inputs)
    for layer in model.tuned:
        want = expected[layer.index][photo]
        np.testing.assert_allclose(tile_offset(offsets[f"offset.{layer.name}"].numpy(), layer.kernel), want, atol=5e-6)
        conv = model.generator.get_submodule(layer.name).conv
        tuned = tuned_weight((conv.scale * conv.weight[0]).numpy(), want)
        axes = (1, 0, 2, 3) if layer.up else (0, 1, 2, 3)
        np.testing.assert_allclose(weights[f"weight.{layer.name}"].numpy().transpose(axes), tuned, atol=2e-6)
        if layer.demodulated:
            energy = weights[f"energy.{layer.name}"].numpy()
            np.testing.assert_allclose(energy.T if layer.up else energy, weight_energy(tuned), rtol=2e-5)


@torch.no_grad()
def test_reconstructions_are_the_drawing_pooled(model: Model) -> None:
    """Against PyTorch's own adaptive pooling, at whole and at broken factors."""
    stages, image = Stages(model), model.image
    codes = model.latent_avg[None]
    pictures = stages.run("synthesis_one", codes=codes)
    drawing = model.generator(codes)
    pooled = torch.nn.functional.adaptive_avg_pool2d(drawing, image.input_width)
    margin = (image.input_width - image.input_height) // 2
    want = pooled[:, :, margin : image.input_width - margin]
    torch.testing.assert_close(pictures["reconstruction"], want, rtol=0, atol=5e-5)
    torch.testing.assert_close(pictures["image"], drawing[:, :, slice(*image.rows)], rtol=0, atol=5e-5)


@torch.no_grad()
def test_what_16_bits_need_changes_nothing(model: Model) -> None:
    """The stages with peaks, scales and folded batch norms, in float32: the same results, weights in other units."""
    for plain, exact in zip(build_graphs(model), build_graphs(model, FLOAT16.exact), strict=True):
        for name, want, got in zip(plain.outputs, outputs_of(plain), outputs_of(exact), strict=True):
            assert got.dtype is torch.float32
            scaled = got * units(model.generator, model.tuned, name)
            limit = 1e-5 * float(want.abs().max())
            torch.testing.assert_close(scaled, want, rtol=0, atol=limit, msg=lambda text, name=name: f"{name}: {text}")


def units(generator: Generator, tuned: tuple[Layer, ...], output: str) -> Tensor:
    """What an output of `weights` is divided by in 16 bits; 1 for every other output."""
    kind, _, name = output.partition(".")
    if kind not in ("weight", "energy"):
        return torch.ones(())
    layer = next(layer for layer in tuned if layer.name == name)
    scales = weight_scales(generator, layer, FLOAT16.exact)
    scales = scales if layer.up else scales[:, None]
    return scales[..., None, None] if kind == "weight" else scales.square()


@torch.no_grad()
def test_16_bit_networks_compute_in_16_bits(model: Model) -> None:
    """Convolutions see 16-bit numbers, and what follows the last one float32: the encoder as it runs on a GPU."""
    graph = next(build_graphs(model, FLOAT16))
    seen: dict[str, set[torch.dtype]] = {}

    def note(module: torch.nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen.setdefault(type(module).__name__, set()).add(inputs[0].dtype)

    for module in graph.module.modules():
        if type(module).__name__ in ("Conv2d", "EqualLinear", "MergedFirstConvs", "Linear"):
            module.register_forward_hook(note)
    (codes,) = outputs_of(graph)
    assert codes.dtype is torch.float32
    assert seen.pop("Conv2d") - {torch.float32} == {torch.float16}  # the attention's two are float32
    assert seen.pop("MergedFirstConvs", {torch.float16}) == {torch.float16}
    assert seen.pop("EqualLinear") == {torch.float32}
    assert seen.pop("Linear", {torch.float32}) == {torch.float32}
    (exact,) = outputs_of(next(build_graphs(model)))
    assert float((codes - exact).abs().max()) < 2e-2 * float(exact.abs().max())


@pytest.mark.parametrize(("before", "after"), [(16, 7), (64, 50), (64, 32), (7, 7), (5, 1)])
def test_pooling_matrices_are_adaptive_pooling(before: int, after: int) -> None:
    x = torch.rand(2, 3, before, before, generator=torch.Generator().manual_seed(0))
    want = torch.nn.functional.adaptive_avg_pool2d(x, after)
    matrix = window_means(before, after)
    torch.testing.assert_close(matrix @ x @ matrix.t(), want, rtol=0, atol=1e-6)
    torch.testing.assert_close(AveragePool(before, after)(x), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("before", "after"), [(4, 8), (16, 32), (13, 25), (1, 2), (2, 3)])
def test_upsampling_matrices_are_bilinear(before: int, after: int) -> None:
    x = torch.rand(2, 3, before, before, generator=torch.Generator().manual_seed(0))
    want = torch.nn.functional.interpolate(x, size=(after, after), mode="bilinear", align_corners=True)
    matrix = corner_aligned(before, after)
    torch.testing.assert_close(matrix @ x @ matrix.t(), want, rtol=0, atol=1e-6)
