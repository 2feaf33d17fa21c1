"""LPIPS from users' files: what it computes, where it has no derivative, and which files are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hyperstyle_deploy.errors import CheckpointError, ExportError
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, Lpips, Trunk, read_lpips
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.gradients.tracing import Objective, Tensors, exact_outputs, trace_gradient

NARROW = {VGG16: (4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12), ALEXNET: (6, 7, 8, 9, 10)}
TRUNKS = pytest.mark.parametrize("trunk", [VGG16, ALEXNET], ids=lambda trunk: trunk.name)


def pictures(size: int = 64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(4)
    pair = torch.rand(2, 3, size, size, generator=draw) * 2 - 1
    return pair[:1], pair[1:]


def plain_lpips(state: dict[str, Tensor], heads: dict[str, Tensor], trunk: Trunk, x: Tensor) -> list[Tensor]:
    """Features of every tap by the published description, written out layer by layer."""
    x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(
        1, 3, 1, 1
    )
    if trunk is VGG16:
        layers = [*range(4), "p", *range(5, 9), "p", *range(10, 16), "p", *range(17, 23), "p", *range(24, 30)]
        taps = (3, 8, 15, 22, 29)
        convolutions = dict.fromkeys((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (1, 1))
    else:
        layers, taps = [0, 1, "p", 3, 4, "p", *range(6, 12)], (1, 4, 7, 9, 11)
        convolutions = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
    found = []
    for layer in layers:
        if layer == "p":
            x = F.max_pool2d(x, 2 if trunk is VGG16 else 3, 2)
        elif layer in convolutions:
            stride, padding = convolutions[layer]
            x = F.conv2d(x, state[f"features.{layer}.weight"], state[f"features.{layer}.bias"], stride, padding)
        else:
            x = F.relu(x)
        if layer in taps:
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
    return found


@TRUNKS
def test_lpips_is_its_published_formula_at_any_width(trunk: Trunk, tmp_path: Path) -> None:
    paths = write_lpips(tmp_path, trunk, NARROW[trunk])
    state, heads = (torch.load(path) for path in paths)
    lpips, (picture, target) = read_lpips(*paths), pictures()
    features = lpips.features(target)
    found = lpips(picture, target, features)
    pairs = zip(*(plain_lpips(state, heads, trunk, each) for each in (picture, target)), strict=True)
    expected = sum(
        float(((one - other).square() * heads[f"lin{index}.model.1.weight"]).sum(1).mean())
        for index, (one, other) in enumerate(pairs)
    )
    assert [feature.shape[1] for feature in features] == [heads[f"lin{i}.model.1.weight"].shape[1] for i in range(5)]
    np.testing.assert_allclose(float(found["lpips"]), expected, rtol=1e-5)
    np.testing.assert_allclose(float(found["mse"]), float((picture - target).square().mean()), rtol=1e-6)
    assert lpips(target, target, features)["lpips"] == 0


class Distance(Objective):
    """LPIPS of a picture to a target."""

    variables = ("picture",)

    def __init__(self, lpips: Lpips) -> None:
        super().__init__()
        self.lpips = lpips

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        features = [tensor for name, tensor in inputs.items() if name.startswith("feature.")]
        return self.lpips(inputs["picture"], inputs["target"], features)["lpips"], {}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        return {"gradient": gradients["picture"]}


@TRUNKS
def test_the_gradient_is_traced_and_finite_where_nothing_is_seen(trunk: Trunk, tmp_path: Path) -> None:
    paths = write_lpips(tmp_path, trunk, NARROW[trunk])
    lpips, (picture, target) = read_lpips(*paths), pictures(66)
    # Nothing passes the first layer of a third of the picture, so its features are all 0.
    state = torch.load(paths[0])
    picture[..., :22] = 1.0
    state["features.0.bias"] -= 0.5
    lpips.trunk.load_state_dict(state)
    features = {f"feature.{index}": each for index, each in enumerate(lpips.features(target))}
    inputs = {"picture": picture, "target": target, **features}
    traced = trace_gradient(Distance(lpips), inputs)
    (found,) = traced.module(*inputs.values())
    expected = exact_outputs(Distance(lpips), inputs)["gradient"]
    assert torch.isfinite(found).all()
    assert torch.isfinite(expected).all()
    assert float((found - expected).norm() / expected.norm()) < 1e-3


def changed(path: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    state = torch.load(path)
    change(state)
    torch.save(state, path)
    return path


def test_files_that_are_not_lpips_are_named(tmp_path: Path) -> None:
    trunk, heads = write_lpips(tmp_path, ALEXNET, NARROW[ALEXNET])
    (tmp_path / "vgg").mkdir()
    other_trunk, other_heads = write_lpips(tmp_path / "vgg", VGG16, NARROW[VGG16])
    with pytest.raises(CheckpointError, match=r"alex.heads.pt is not the trunk of LPIPS.*second file of --lpips"):
        read_lpips(heads, trunk)
    with pytest.raises(CheckpointError, match=r"misshapen lin0.model.1.weight: got \[1, 5, 1, 1\], expected \[1, 6"):
        read_lpips(trunk, other_heads)
    with pytest.raises(CheckpointError, match=r"missing lin0.model.1.weight"):
        read_lpips(trunk, other_trunk)
    changed(heads, lambda state: state["lin2.model.1.weight"].neg_())
    with pytest.raises(CheckpointError, match=r"does not hold the heads.*negative weights in lin2"):
        read_lpips(trunk, heads)
    changed(trunk, lambda state: state.update({"features.3.bias": state["features.3.bias"] / 0}))
    with pytest.raises(CheckpointError, match=r"not finite features.3.bias"):
        read_lpips(trunk, heads)
    changed(trunk, lambda state: state.pop("features.6.weight"))
    with pytest.raises(CheckpointError, match=r"missing features.6.weight"):
        read_lpips(trunk, heads)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list.pt is no state dict. Got: list"):
        read_lpips(tmp_path / "list.pt", heads)
    with pytest.raises(ExportError, match=r"LPIPS is for the losses of gradient graphs. Say which with --gradients"):
        export([], tmp_path / "out", perceptual=(trunk, heads))
