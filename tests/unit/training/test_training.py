"""The training on tiny networks: resumed runs equal uninterrupted ones, networks equal the published layout's."""

from pathlib import Path

import numpy as np
import torch

from hyperstyle_deploy.export.checkpoint import read_checkpoint
from hyperstyle_deploy.export.methods.hyperstyle import load_hyperstyle
from hyperstyle_deploy.export.methods.inversion import load_inversion
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import Choices, IdInvertModel
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.training.checkpoints import encoder_file, join, write_checkpoints, write_encoders
from hyperstyle_deploy.training.encoder import train_encoder
from hyperstyle_deploy.training.evaluate import invert, load_networks
from hyperstyle_deploy.training.generator import Codes, train_generator
from hyperstyle_deploy.training.hypernetwork import train_hypernetwork
from hyperstyle_deploy.training.idinvert import files, new_stylegan1, train_idinvert, train_stylegan1, write_idinvert
from hyperstyle_deploy.training.idinvert import synthesize as synthesize_stylegan1
from hyperstyle_deploy.training.inversion import WEIGHTS, differing_rows, encode, train_inversion
from hyperstyle_deploy.training.loop import Training, load_network, rate, train
from hyperstyle_deploy.training.mapping import parameters_of_latents, train_mapping
from hyperstyle_deploy.training.networks import (
    Widths,
    new_encoder,
    new_generator,
    new_hypernetwork,
    new_inversion_encoder,
)
from hyperstyle_deploy.training.packed import in_bytes, in_floats, without_unused
from hyperstyle_deploy.training.synthesis import synthesize

TINY = Widths(
    style=32,
    channels=(8, 8, 8, 4, 4),
    trunk=(4, 6, 8, 10),
    encoder=(16, 18, 20, 22),
    code=6,
    shared_inner=4,
    channel_inner=4,
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


def test_the_rate_rises_in_a_tenth_of_a_short_training() -> None:
    assert rate(0, 100) == 0.1
    assert rate(10, 100) == 1.0


def test_all_trainings_run_in_turn(tmp_path: Path) -> None:
    train_generator(tmp_path, TINY, steps=4, batch=2, pictures=4)
    train_encoder(tmp_path, TINY, steps=2, batch=4, pictures=4)
    train_hypernetwork(tmp_path, TINY, steps=4, batch=2, pictures=4)
    train_mapping(tmp_path, TINY, steps=2, batch=8)
    hypernet = load_network(tmp_path, "hypernetwork", new_hypernetwork(TINY))
    assert all(torch.isfinite(p).all() for p in hypernet.parameters())

    first, second = write_checkpoints(tmp_path, tmp_path / "model", TINY)
    model = load_hyperstyle(read_checkpoint(first), read_checkpoint(second), Choices())
    assert model.generator.shape == TINY.generator
    photos = torch.rand(2, 3, 64, 64) * 2 - 1
    networks = load_networks(tmp_path / "model", TINY)
    codes = model.encoder(photos) + model.latent_avg
    expected = model.generator(codes)
    assert torch.allclose(invert(networks, photos, 1)[0], expected, atol=1e-3)

    for method in WEIGHTS:
        train_inversion(method, tmp_path, TINY, steps=4, batch=2, pictures=4)
    write_encoders(tmp_path, tmp_path / "model", TINY)
    for method in WEIGHTS:
        alone = encoder_file(tmp_path / "model", method)
        join(alone, first, tmp_path / "joined.pt")
        model = load_inversion(read_checkpoint(tmp_path / "joined.pt"), Choices())
        assert model.method.name == method
        assert model.encoder.shape == TINY.inversion_encoder(method)


def test_idinverts_networks_train_and_are_what_export_takes(tmp_path: Path) -> None:
    train_stylegan1(tmp_path, TINY, steps=4, batch=2, pictures=4)
    train_idinvert(tmp_path, TINY, steps=4, batch=4, pictures=4)
    write_idinvert(tmp_path, tmp_path / "model", TINY)
    model = load_model(read_checkpoints(files(tmp_path / "model")), Choices())
    assert isinstance(model, IdInvertModel)
    assert (model.generator.shape, model.encoder.shape) == (TINY.stylegan1, TINY.residual_encoder)
    generator = load_network(tmp_path, "stylegan1", new_stylegan1(TINY))
    codes = torch.randn(2, 10, 32)
    assert torch.equal(model.generator(codes), synthesize_stylegan1(generator.synthesis, codes, 4))
    assert synthesize_stylegan1(generator.synthesis, codes, 2).shape == (2, 3, 16, 16)


def test_the_quick_synthesis_is_stylegan2s() -> None:
    torch.manual_seed(0)
    generator = new_generator(TINY)
    for to_rgb in generator.to_rgbs:
        torch.nn.init.normal_(to_rgb.conv.weight)
    codes = torch.randn(2, 32)
    rows = codes[:, None].expand(-1, generator.shape.styles, -1)
    layers = layer_table(TINY.channels)
    offsets = {layer.index: 0.2 * torch.randn(2, *layer.weight_shape) for layer in layers if layer.kernel == 3}
    different = torch.randn_like(rows)
    expected = generator(different).detach()
    assert torch.allclose(synthesize(generator, different), expected, atol=1e-4 * float(expected.abs().max()))
    for given in (None, offsets):
        expected = generator(rows, given).detach()
        assert torch.allclose(synthesize(generator, codes, given), expected, atol=1e-4 * float(expected.abs().max()))
    assert not torch.allclose(generator(rows, offsets), generator(rows), atol=0.1)
    assert synthesize(generator, codes, levels=2).shape == (2, 3, 16, 16)


def test_codes_and_parameters_say_the_same() -> None:
    codes = Codes(64)
    parameters = torch.rand(5, codes.directions.shape[0])
    assert torch.allclose(codes.parameters_of(codes(parameters)), parameters, atol=1e-5)
    uniform = parameters_of_latents(torch.randn(4000, 64))
    assert (uniform.mean(0) - 0.5).abs().max() < 0.03
    assert (uniform.std(0) - 12**-0.5).abs().max() < 0.02


def test_an_encoders_bytes_are_its_numbers_nearly() -> None:
    torch.manual_seed(0)
    state = {"conv.weight": torch.randn(4, 3, 3, 3) * torch.tensor([1.0, 10, 0.01, 0]).view(4, 1, 1, 1)}
    state |= {"norm.weight": torch.randn(4), "norm.num_batches_tracked": torch.tensor(7)}
    packed = in_bytes(state)
    assert packed["conv.weight"].dtype is torch.int8
    found = in_floats(packed)
    assert found.keys() == state.keys()
    wide, narrow = state["conv.weight"].flatten(1), found["conv.weight"].flatten(1)
    assert ((wide - narrow).abs() <= wide.abs().amax(1, keepdim=True) / 253).all()
    assert not torch.equal(wide, narrow)
    assert torch.equal(found["norm.weight"], state["norm.weight"])
    assert found["norm.num_batches_tracked"] == 7


@torch.no_grad()
def test_what_an_encoders_file_leaves_out_no_picture_reaches() -> None:
    torch.manual_seed(0)
    photos = torch.rand(2, 3, 64, 64)
    for method in WEIGHTS:
        encoder = new_inversion_encoder(TINY, method, new_encoder(TINY)).eval()
        whole = encode(encoder, photos, photos)
        state = without_unused(encoder)
        assert sum(int((tensor == 0).sum()) for tensor in state.values()) > 10 * 5 * 24 * 32
        encoder.load_state_dict(state)
        torch.testing.assert_close(encode(encoder, photos, photos), whole, rtol=0, atol=1e-5)


def test_rows_of_a_progressive_encoder_come_to_differ_one_by_one() -> None:
    counts = [differing_rows(step / 100, 10) for step in range(100)]
    assert counts == sorted(counts)
    assert set(counts) == set(range(1, 11))
    assert counts[50] == 10
    torch.manual_seed(0)
    encoder = new_inversion_encoder(TINY, "e4e", new_encoder(TINY)).eval()
    photos = torch.rand(2, 3, 64, 64)
    codes = encode(encoder, photos, photos)
    assert torch.equal(codes, codes[:, :1].expand(-1, 10, -1))  # none differs at first
    for block in encoder.styles[1:]:
        torch.nn.init.normal_(block.linear.weight)
    whole, part = encode(encoder, photos, photos), encode(encoder, photos, photos, 4)
    assert torch.equal(part[:, :4], whole[:, :4])
    assert not torch.allclose(whole[:, 4:], whole[:, :1], atol=1e-3)
    assert torch.equal(part[:, 4:], whole[:, :1].expand(-1, 6, -1))


def test_the_second_picture_of_a_pair_counts_for_nothing_at_first() -> None:
    torch.manual_seed(0)
    w_encoder = new_encoder(TINY).eval()
    encoder = new_inversion_encoder(TINY, "restyle-psp", w_encoder).eval()
    photos, others = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    assert torch.equal(encode(encoder, photos, photos), encode(encoder, photos, others))
    assert torch.equal(encoder.stages(torch.cat([photos, others], 1))[-2], w_encoder.features(photos))
