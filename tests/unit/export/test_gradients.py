"""The rules of the backward against PyTorch's autograd, and gradient graphs of the tiny generator in every backend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hyperstyle_deploy.errors import ExportError
from hyperstyle_deploy.export.comparison import compare_gradient
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.gradients.backward import (
    avg_pool2d_backward,
    convolution_backward,
    leaky_relu_backward,
    max_pool2d_backward,
)
from hyperstyle_deploy.export.gradients.graph import gradient_graph
from hyperstyle_deploy.export.gradients.losses import multiscale, noise_correlation
from hyperstyle_deploy.export.gradients.tracing import Objective, Tensors, exact_outputs, trace_gradient
from hyperstyle_deploy.export.onnx_writer import collect_constants, separate_twins, trace, write_graph
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.constants import Constants
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import load

PHOTO = Path(__file__).parents[3] / "demo.png"
DRAW = torch.Generator().manual_seed(5)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=DRAW, dtype=torch.float64)


#: (input, weight, options of the convolution): what generators and perceptual networks have.
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((2, 3, 7, 5), (4, 3, 3, 3), {"padding": 1}),
    "3x3, few pixels": ((2, 3, 3, 3), (4, 3, 3, 3), {"padding": 1}),
    "3x3, one channel": ((1, 1, 9, 8), (4, 1, 3, 3), {"padding": 1}),
    "3x3, not padded": ((1, 3, 8, 7), (4, 3, 3, 3), {}),
    "4x4": ((1, 3, 9, 8), (4, 3, 4, 4), {"padding": 1}),
    "stride 2": ((2, 3, 9, 7), (4, 3, 3, 3), {"padding": 1, "stride": 2}),
    "1x1": ((1, 5, 4, 4), (3, 5, 1, 1), {}),
    "1x1, padded": ((1, 5, 4, 4), (3, 5, 1, 1), {"padding": 1}),
    "stride 4, rows left over": ((1, 3, 35, 34), (4, 3, 11, 11), {"stride": 4, "padding": 2}),
    "up": ((2, 3, 5, 4), (3, 4, 3, 3), {"transposed": True, "stride": 2}),
    "blur": ((1, 3, 8, 8), (3, 1, 4, 4), {"padding": 1, "groups": 3}),
    "upsampling": ((1, 3, 4, 4), (3, 1, 4, 4), {"transposed": True, "stride": 2, "padding": 1, "groups": 3}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolutions_gradients_are_autograds(case: tuple[Any, ...]) -> None:
    shape, kernel, options = case
    options = {"stride": 1, "padding": 0, "groups": 1, "transposed": False, **options}
    transposed, groups = options["transposed"], options["groups"]
    x, weight = normal(*shape).requires_grad_(), normal(*kernel).requires_grad_()
    bias = normal(kernel[1] * groups if transposed else kernel[0]).requires_grad_()
    plain = {name: value for name, value in options.items() if name != "transposed"}
    y = (F.conv_transpose2d if transposed else F.conv2d)(x, weight, bias, **plain)
    slope = normal(*y.shape)
    expected = torch.autograd.grad(y, [x, weight, bias], slope)
    pairs = [[options["stride"]] * 2, [options["padding"]] * 2, [1, 1], transposed, [0, 0], groups]
    wanted = [True, groups == 1, True]
    found = convolution_backward(slope, x.detach(), weight.detach(), None, *pairs, wanted)
    for got, want, asked in zip(found, expected, wanted, strict=True):
        if asked:
            torch.testing.assert_close(got, want)
        else:
            assert got is None
    if groups > 1:
        with pytest.raises(ExportError, match="weight's gradient of a grouped"):
            convolution_backward(slope, x.detach(), weight.detach(), None, *pairs, [True, True, False])


def test_the_other_rules_are_autograds() -> None:
    x = normal(2, 3, 8, 12).requires_grad_()
    y = F.avg_pool2d(x, (2, 3))
    slope = normal(*y.shape)
    (expected,) = torch.autograd.grad(y, [x], slope)
    torch.testing.assert_close(avg_pool2d_backward(slope, x, [2, 3], [], [0, 0]), expected)
    with pytest.raises(ExportError, match="cells overlap"):
        avg_pool2d_backward(slope, x, [3, 3], [2, 2], [0, 0])
    y = F.leaky_relu(x, 0.2)
    slope = normal(*y.shape)
    (expected,) = torch.autograd.grad(y, [x], slope)
    torch.testing.assert_close(leaky_relu_backward(slope, x, 0.2, False), expected)


@pytest.mark.parametrize(("kernel", "sides"), [(2, (8, 6)), (2, (9, 7)), (3, (15, 13)), (3, (16, 12))])
def test_a_poolings_gradient_goes_to_the_first_of_the_largest(kernel: int, sides: tuple[int, int]) -> None:
    x = normal(2, 3, *sides).round()  # many are equal
    x.requires_grad_()
    y = F.max_pool2d(x, kernel, 2)
    slope = normal(*y.shape)
    (expected,) = torch.autograd.grad(y, [x], slope)
    found = max_pool2d_backward(slope, x.detach(), [kernel] * 2, [2, 2], [0, 0], [1, 1], False, torch.empty(0))
    torch.testing.assert_close(found, expected)


class Small(Objective):
    """A convolution, a blur, a pool and a root, with two variables."""

    variables = ("x", "weight")

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        y = F.leaky_relu(F.conv2d(inputs["x"], inputs["weight"], padding=1), 0.2) * inputs["gain"]
        y = F.avg_pool2d(y, 2) / (y.square().mean() + 1).sqrt()
        return multiscale(y) + noise_correlation([inputs["x"][:, :1]]), {"seen": y}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        return {f"gradient.{name}": gradient for name, gradient in gradients.items()}


def test_a_traced_objective_is_its_gradient_at_other_inputs_too() -> None:
    def inputs(seed: int) -> Tensors:
        draw = torch.Generator().manual_seed(seed)
        shapes = {"x": (1, 2, 32, 32), "weight": (3, 2, 3, 3), "gain": (1, 3, 1, 1)}
        return {name: torch.randn(*shape, generator=draw) for name, shape in shapes.items()}

    traced = trace_gradient(Small(), inputs(1))
    found = dict(zip(traced.outputs, traced.module(*inputs(2).values()), strict=True))
    expected = exact_outputs(Small(), inputs(2))
    assert set(found) == {"gradient.x", "gradient.weight", "seen"}
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-7)


class Twice(Objective):
    """Two convolutions with the same weight: it is read twice forward, and twice backward or once to turn it."""

    variables = ("x",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(
            torch.randn(channels, channels, 3, 3, generator=torch.Generator().manual_seed(1))
        )

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        x = F.leaky_relu(F.conv2d(inputs["x"], self.weight, padding=1), 0.2)
        return F.conv2d(x, self.weight, padding=1).square().mean(), {}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        return {"gradient": gradients["x"]}


@pytest.mark.parametrize(("side", "twins"), [(4, 3), (16, 2)], ids=["transposed convolutions", "turned weights"])
@torch.no_grad()
def test_weights_have_a_copy_for_each_node_and_graphs_do_not_share_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, twins: int
) -> None:
    constants, traced = Constants(tmp_path), []
    for channels in (32, 40):  # smaller weights are turned by the exporter
        x = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(2))
        graph = gradient_graph(f"twice{channels}", Twice(channels), {"x": x}, ("gradient",))
        program = trace(graph, 20)
        separate_twins(program)
        traced.append((graph, program, collect_constants(program, "gradients", constants), graph.expected()))
    places = constants.write()
    for graph, program, homes, expected in traced:
        copies = {places[home] for home in homes.values() if "twin" in home.name}
        assert len(copies) == twins
        assert all(home.name.startswith(graph.name) for home in homes.values() if "twin" in home.name)
        path = tmp_path / f"{graph.name}.onnx"
        write_graph(program, graph, path, homes, places)
        assert compare_gradient(graph, path, expected)["gradient"] < 1e-6
    with pytest.raises(ExportError, match=r"disagrees with PyTorch's autograd in float64. Got: gradient: 1.00e-01"):
        compare_gradient(graph, path, [1.0 / 0.9 * each for each in expected])
    if "openvino" in available():
        from hyperstyle_deploy.runtime.backends import openvino

        plain = openvino.run_once
        monkeypatch.setattr(openvino, "run_once", lambda *given: [1.1 * each for each in plain(*given)])
        with pytest.raises(ExportError, match=r"OpenVINO computes the graph twice40 wrongly. Got: gradient: 1.00e-01"):
            compare_gradient(graph, path, expected)


def test_losses_are_their_formulas() -> None:
    difference = normal(1, 3, 24, 24)
    levels = [difference]
    for _ in range(1):  # 24, 12; 6 would be below 8
        fine = levels[-1].numpy()
        levels.append(torch.from_numpy(fine.reshape(1, 3, 12, 2, 12, 2).mean((3, 5))))
    expected = np.mean([float(level.square().mean()) for level in levels])
    np.testing.assert_allclose(multiscale(difference), expected)
    noise = normal(1, 1, 16, 16).numpy()
    expected = 0.0
    for level in (noise, noise.reshape(1, 1, 8, 2, 8, 2).mean((3, 5))):
        for axis in (2, 3):
            expected += float((level * np.roll(level, 1, axis)).mean()) ** 2
    np.testing.assert_allclose(noise_correlation([torch.from_numpy(noise)]), expected)


def test_gradients_are_exported_in_float32_and_for_what_is_known(written: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Gradient graphs are float32. Got: a bundle in float16"):
        export(written("e4e"), tmp_path / "out", precision="float16", gradients=["projection"])
    with pytest.raises(ExportError, match=r"Unknown optimisation. Got: prodjection. Expected: projection"):
        export(written("e4e"), tmp_path / "out", gradients=["prodjection"])
    with pytest.raises(ExportError, match=r"close to a photo. Got: a psp checkpoint whose input is a sketch"):
        export(written("psp", labels=1), tmp_path / "out", gradients=["projection"])
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_the_exported_projection_descends_alike_in_every_backend(optimised: Path) -> None:
    """The export has compared the gradient with float64 autograd, and loading OpenVINO with ONNX Runtime."""
    found = {}
    for backend in available():
        settings = Settings(space="w", loss={"mse": 1.0})
        session = load(optimised, backend=backend, method="projection", settings=settings)
        steps = list(session.refine(session.prepare([PHOTO]), 30))
        first, last = steps[0].losses(0), steps[-1].losses(0)
        # A seeded network's LPIPS goes up and down by a tenth from step to step.
        assert last["mse"] < 0.5 * first["mse"]
        assert last["mse"] + last["lpips"] < 0.8 * (first["mse"] + first["lpips"])
        np.testing.assert_allclose(steps[-1].l2[0], last["mse"], rtol=1e-5)
        assert np.ptp(steps[-1].codes[0], axis=0).max() == 0  # in W
        # The last state is not perturbed: what is drawn of it is what its loss was of.
        np.testing.assert_allclose(steps[-1].image, steps[-1].reconstruction, atol=5e-5)
        found[backend] = steps[5].codes
    # Later ones part: Adam divides by the gradient's size, so roundings of 3e-7 are 5e-4 after 15 steps.
    for codes in found.values():
        np.testing.assert_allclose(codes, found["onnxruntime"], atol=2e-5)


@pytest.mark.exhaustive
@pytest.mark.parametrize("locality", [False, True])
def test_the_exported_tuning_goes_on_from_hyperstyle(optimised: Path, locality: bool) -> None:
    own = load(optimised, backend="onnxruntime")
    *_, refined = own.refine(own.prepare([PHOTO]))
    found = {}
    for backend in available():
        settings = Settings(rate=3e-3, until_lpips=0.0, locality=locality)
        session = load(optimised, backend=backend, method="pti", settings=settings)
        steps = list(session.refine(session.prepare([PHOTO]), 10))
        # Tuning starts at the very weights that HyperStyle found, in another formulation of the generator.
        np.testing.assert_allclose(steps[0].reconstruction, refined.reconstruction, atol=5e-4)
        assert steps[-1].losses(0)["lpips"] < steps[0].losses(0)["lpips"]
        np.testing.assert_allclose(steps[-1].image, steps[-1].reconstruction, atol=5e-5)
        found[backend] = steps[-1].arrays(0)["differences"]
    for differences in found.values():
        np.testing.assert_allclose(differences, found["onnxruntime"], atol=1e-3)
