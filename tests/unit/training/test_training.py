"""The training on tiny networks: resumed runs equal uninterrupted ones, networks equal the published layout's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hyperstyle_deploy.training.encoder import train_encoder
from hyperstyle_deploy.training.generator import Codes, train_generator
from hyperstyle_deploy.training.hypernetwork import train_hypernetwork
from hyperstyle_deploy.training.loop import Training, load_network, rate, train
from hyperstyle_deploy.training.mapping import parameters_of_latents
from hyperstyle_deploy.training.networks import Generator, HyperNetwork, ModulatedConv, Widths

TINY = Widths(
    size=64,
    style=32,
    channels=(8, 8, 8, 4, 4),
    trunk=(4, 6, 8, 10),
    encoder=(16, 18, 20, 22),
    shared_stack=4,
    channel_stack=4,
)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def problem() -> Training:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 1)

        def batches(random: np.random.Generator, progress: float):
            x = torch.from_numpy(random.standard_normal((4, 3)).astype(np.float32))
            loss = (network(x) - x.sum(1, keepdim=True)).square().mean()
            loss.backward()
            yield {"loss": loss.item()}

        return Training("toy", {"network": network}, [{"params": list(network.parameters()), "lr": 0.1}], batches, {})

    whole, halves = problem(), problem()
    train(whole, tmp_path / "whole", 20)
    train(halves, tmp_path / "halves", 20, stop_at=11)
    resumed = problem()
    train(resumed, tmp_path / "halves", 20)
    for one, other in zip(
        whole.networks["network"].parameters(), resumed.networks["network"].parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert not torch.equal(halves.networks["network"].weight, resumed.networks["network"].weight)


def test_the_rate_ends_at_nothing() -> None:
    assert rate(0, 10_000) < rate(200, 10_000) == 1.0
    assert 0 < rate(9_999, 10_000) < 0.001


def test_all_trainings_run_in_turn(tmp_path: Path) -> None:
    train_generator(tmp_path, TINY, steps=4, batch=2, pictures=4)
    train_encoder(tmp_path, TINY, steps=2, batch=4, pictures=4)
    train_hypernetwork(tmp_path, TINY, steps=4, batch=2, pictures=4)
    hypernet = load_network(tmp_path, "hypernetwork", HyperNetwork(TINY))
    assert all(torch.isfinite(p).all() for p in hypernet.parameters())


@pytest.mark.parametrize("up", [False, True])
def test_the_convolution_is_stylegan2s(up: bool) -> None:
    """Style on activations and a fused upsampling, against weights that carry everything and a blur after."""
    torch.manual_seed(0)
    conv = ModulatedConv(6, 5, 7, 3, up=up)
    if up:
        conv.blur.kernel.copy_(torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0])] * 2) / 16)
    x, code, offset = torch.randn(2, 5, 8, 8), torch.randn(2, 6), 0.1 * torch.randn(2, 7, 5, 3, 3)
    y, factor = conv(x, code, offset)
    for i in range(2):
        weight = conv.scale * conv.weight[0] * (1 + offset[i]) * conv.modulation(code[i : i + 1]).view(1, -1, 1, 1)
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if up:
            expected = conv.blur(F.conv_transpose2d(x[i : i + 1], weight.transpose(0, 1), stride=2))
        else:
            expected = F.conv2d(x[i : i + 1], weight, padding=1)
        assert torch.allclose((y * factor)[i], expected[0], atol=1e-5)


def test_no_offset_is_an_offset_of_nothing() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY)
    codes = torch.randn(2, 32)
    nothing = {index: torch.zeros(2, 1, 1, 1, 1) for index in (0, 2, 3, 5, 6, 8, 9, 11, 12)}
    assert torch.allclose(generator(codes), generator(codes, nothing), atol=1e-4)


def test_codes_and_parameters_say_the_same() -> None:
    codes = Codes(64)
    parameters = torch.rand(5, codes.directions.shape[0])
    assert torch.allclose(codes.parameters_of(codes(parameters)), parameters, atol=1e-5)
    uniform = parameters_of_latents(torch.randn(4000, 64))
    assert (uniform.mean(0) - 0.5).abs().max() < 0.03
    assert (uniform.std(0) - 12**-0.5).abs().max() < 0.02
