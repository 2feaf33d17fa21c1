"""IDInvert's networks, files and bundles, seeded, of 32 pixels; test_golden_idinvert.py has the authors' numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.nn import functional as F

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import CheckpointError, ExportError
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.gradients.features import read_features
from hyperstyle_deploy.export.gradients.perceptual import VGG16
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.inspection import inspect
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import NO_CHOICES, Choices, IdInvertModel
from hyperstyle_deploy.export.seeded import TINY, write_checkpoints
from hyperstyle_deploy.export.seeded_idinvert import TINY_IDINVERT
from hyperstyle_deploy.export.stages.stylegan1 import FoldedEncoder, StyleGan1Drawing, noises_of
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing

PHOTO = Path(__file__).parents[3] / "demo.png"


@pytest.fixture(scope="module")
def files(in_domain_files: tuple[Path, Path, Path]) -> tuple[Path, Path, Path]:
    return in_domain_files


def loaded(files: tuple[Path, ...]) -> IdInvertModel:
    model = load_model(read_checkpoints(files[:2]), NO_CHOICES)
    assert isinstance(model, IdInvertModel)
    return model


@torch.no_grad()
def test_stages_are_the_networks(files: tuple[Path, ...]) -> None:
    """One transposed convolution for nearest upsampling and a convolution, and for the fused form; folded norms."""
    model = loaded(files)
    generate = torch.Generator().manual_seed(0)
    photos = torch.rand(2, 3, 32, 32, generator=generate) * 2 - 1
    codes = model.encoder(photos)
    assert codes.shape == (2, 8, 18)
    torch.testing.assert_close(FoldedEncoder(model.encoder)(photos), codes, rtol=0, atol=1e-5)
    drawn = StyleGan1Drawing(model.generator)(codes, noises_of(model.generator))
    torch.testing.assert_close(drawn, model.generator(codes), rtol=0, atol=2e-5)
    assert float((drawn[0] - drawn[1]).abs().max()) > 0.01


def test_layers_are_the_convolutions_that_codes_modulate(files: tuple[Path, ...]) -> None:
    model = loaded(files)
    assert [(layer.name, layer.style, layer.up, layer.resolution) for layer in model.layers[:3]] == [
        ("layer1", 1, False, 4),
        ("layer2", 2, True, 8),
        ("layer3", 3, False, 8),
    ]
    assert [layer.out_channels for layer in model.layers] == [14, 14, 14, 12, 12, 10, 10]


@torch.no_grad()
def test_features_are_vgg16s_up_to_conv4_3(files: tuple[Path, ...]) -> None:
    """Blue, green and red over [0, 255] less their means, as the authors' file is used."""
    criterion, state = read_features(files[2]), torch.load(files[2])
    pictures = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def seen(picture: torch.Tensor) -> torch.Tensor:
        x = ((picture + 1) * 127.5)[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
        for index in (0, 2, "pool", 5, 7, "pool", 10, 12, 14, "pool", 17, 19, 21):
            if index == "pool":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(x, state[f"layer{index}.weight"], state[f"layer{index}.bias"], padding=1))
        return x

    one, other = map(seen, pictures)
    (found,) = criterion.features(pictures[0])
    torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-3)
    terms = criterion(*pictures, criterion.features(pictures[1]))
    assert list(terms) == ["mse", "feature"]
    torch.testing.assert_close(terms["feature"], (one - other).square().mean(), rtol=1e-4, atol=0)


def test_a_bundle_says_what_it_is_and_descends_alike_in_every_backend(in_domain: Path, files: tuple[Path, ...]) -> None:
    found = {}
    model = loaded(files)
    for backend in available():
        session = load(in_domain, backend=backend)
        manifest = session.manifest
        assert (manifest.method.name, manifest.default_steps) == ("idinvert", 100)
        assert (manifest.generator.family, len(manifest.generator.layers)) == ("stylegan1", 7)
        assert manifest.provenance["gradients"]["terms"] == ["mse", "feature"]
        assert [checkpoint.role for checkpoint in manifest.checkpoints] == ["idinvert", "idinvert-encoder"]
        photo = session.prepare([PHOTO])
        steps = list(session.refine(photo, 30))
        with torch.no_grad():
            codes = model.encoder(torch.from_numpy(photo))
            np.testing.assert_allclose(steps[0].codes, codes.numpy(), atol=5e-5)
            np.testing.assert_allclose(steps[0].image, model.generator(codes).numpy(), atol=5e-5)
        np.testing.assert_allclose(steps[-1].l2[0], steps[-1].losses(0)["mse"], rtol=1e-5)
        np.testing.assert_allclose(steps[-1].image, steps[-1].reconstruction, atol=5e-5)
        weights = {"mse": 1.0, "feature": 5e-5, "encoder": 2.0}
        losses = [sum(weights[term] * value for term, value in step.losses(0).items()) for step in steps]
        assert losses[-1] < 0.8 * losses[0]
        found[backend] = steps[-1].codes
    for codes in found.values():
        np.testing.assert_allclose(codes, found["onnxruntime"], atol=5e-3)


def test_the_commands_work_on_it(in_domain: Path, files: tuple[Path, ...], tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    generator, encoder, _ = files
    assert "idinvert, unknown: 32x32 in, 32x32 out, 8 styles of 18, float32, 100 steps by default" in run(
        "inspect", in_domain
    )
    against = json.loads(run("verify", in_domain, "--against", generator, "--encoder", encoder, "--json"))
    assert (against["within"], len(against["comparisons"][0]["steps"])) == (True, 1)
    out = tmp_path / "out"
    run("invert", in_domain, PHOTO, "-o", out, "--steps", 4, "--until-gain", 0.0001)
    document = json.loads(run("inspect", out / f"{PHOTO.stem}.inversion", "--json"))
    assert (document["method"], document["arrays"]) == ("idinvert", {"codes": [8, 18]})
    assert Image.open(out / f"{PHOTO.stem}.png").size == (32, 32)
    run("invert", in_domain, PHOTO, "-o", tmp_path / "set", "--steps", 1, "--method", "idinvert", "--rate", 0.02)
    run("personalize", in_domain, out / f"{PHOTO.stem}.inversion", "-o", tmp_path / "mine.onnx")
    refused = CliRunner().invoke(
        main,
        ["personalize", str(in_domain), str(out / f"{PHOTO.stem}.inversion"), "-o", str(tmp_path / "a"), "--styles"],
    )
    assert (refused.exit_code, "StyleSpace is StyleGAN2's" in refused.stderr) == (2, True)


@pytest.mark.exhaustive
def test_without_the_feature_network_the_loss_is_named_as_what_it_is(files: tuple[Path, ...], tmp_path: Path) -> None:
    quicken_tracing()
    session = load(export(files[:2], tmp_path / "bundle").path, backend="onnxruntime", settings=Settings(rate=0.02))
    assert session.manifest.provenance["gradients"] == {"for": ["idinvert"], "terms": ["mse"]}
    assert "features" not in session.manifest.graphs
    steps = list(session.refine(session.prepare([PHOTO]), 20))
    assert list(steps[0].losses(0)) == ["mse", "encoder"]
    assert steps[-1].losses(0)["mse"] < 0.9 * steps[0].losses(0)["mse"]


def saved(path: Path, change: Callable[[dict[str, torch.Tensor]], object], folder: Path) -> Path:
    """A changed copy of a file."""
    state = torch.load(path)
    change(state)
    torch.save(state, folder / path.name)
    return folder / path.name


def test_a_file_in_anothers_place_says_what_it_is_and_what_takes_it(files: tuple[Path, ...], tmp_path: Path) -> None:
    generator, encoder, vgg16 = files
    trunk, heads = write_lpips(tmp_path, VGG16, (4,) * 13)
    (psp,) = write_checkpoints(tmp_path, "psp", TINY)
    hyperstyle, w_encoder = write_checkpoints(tmp_path, "hyperstyle", TINY)

    def refused(*given: Path, **options: Path) -> str:
        with pytest.raises((CheckpointError, ExportError)) as caught:
            export(given, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    text = refused(generator)
    assert f"{generator} is IDInvert's generator. Its codes come from a second file" in text
    assert f"export {generator} --encoder ENCODER.pth -o BUNDLE" in text
    assert f"{encoder} is IDInvert's encoder" in (text := refused(encoder))
    assert f"export GENERATOR.pth --encoder {encoder} -o BUNDLE" in text
    assert f"--vgg16 {vgg16} -o BUNDLE" in refused(vgg16)
    assert f"{trunk} is torchvision's VGG16 or AlexNet" in (text := refused(trunk))
    assert f"--lpips {trunk} HEADS" in text
    assert f"--lpips TRUNK {heads}" in refused(heads)
    assert "Expected: an encoder's file behind --encoder: IDInvert's encoder" in refused(generator, w_encoder)
    assert "Expected: an encoder's file behind --encoder: a W-encoder, pSp" in refused(hyperstyle, encoder)
    assert "It has its own encoder" in refused(psp, encoder)
    text = refused(generator, encoder, vgg16=trunk)
    assert f"{trunk} is torchvision's VGG16 or AlexNet. Expected: IDInvert's VGG16" in text
    assert "--vgg16 out" in refused(psp, vgg16=vgg16)
    assert "IDInvert has an optimisation of its own. Got: --gradients pti" in refused(
        generator, encoder, gradients=["pti"]
    )
    assert "float32, as gradients are. Got: float16" in refused(generator, encoder, precision="float16")


def test_what_does_not_fit_is_named(files: tuple[Path, ...], tmp_path: Path) -> None:
    generator, encoder, vgg16 = files

    def refused(*given: Path, choices: Choices = NO_CHOICES) -> str:
        with pytest.raises(CheckpointError) as caught:
            load_model(read_checkpoints(given), choices)
        return str(caught.value)

    def spoil(state: dict[str, torch.Tensor]) -> None:
        del state["synthesis.layer3.epilogue.bias"]
        state["mapping.dense1.fc.weight"] = torch.zeros(3, 3)
        state["truncation.w_avg"] = torch.full((18,), torch.nan)
        state["discriminator.x"] = torch.zeros(1)

    text = refused(saved(generator, spoil, tmp_path), encoder)
    for problem in (
        "missing synthesis.layer3.epilogue.bias",
        "misshapen mapping.dense1.fc.weight",
        "not finite truncation.w_avg",
        "unexpected discriminator.x",
    ):
        assert problem in text
    lod = saved(generator, lambda state: state.update({"synthesis.lod": torch.tensor(2.0)}), tmp_path)
    assert "stops at a lower resolution. Got: synthesis.lod 2" in refused(lod, encoder)
    short = saved(encoder, lambda state: state.pop("block2.conv2.weight"), tmp_path)
    assert "missing block2.conv2.weight" in refused(generator, short)
    wide = saved(encoder, lambda state: state.update({"block4.fc.weight": torch.zeros(150, 256)}), tmp_path)
    assert "is the encoder of another generator. Got: codes of 150 numbers. Expected: 8 styles of 18" in refused(
        generator, wide
    )
    assert "input size. Got: 64. Expected: 32" in refused(generator, encoder, choices=Choices(64))
    # The authors' loader overwrites it.
    more = saved(generator, lambda state: state.update({"truncation.truncation": torch.ones(1, 14, 1)}), tmp_path)
    load_model(read_checkpoints((more, encoder)), NO_CHOICES)
    with pytest.raises(CheckpointError, match=r"missing layer10.bias"):
        read_features(saved(vgg16, lambda state: state.pop("layer10.bias"), tmp_path))


def test_inspect_describes_each_of_its_files(files: tuple[Path, ...], tmp_path: Path) -> None:
    generator, encoder, vgg16 = files
    found = inspect(generator)
    assert (found.method, found.networks.size, found.networks.styles, found.networks.width) == ("idinvert", 32, 8, 18)
    assert found.networks.channels == list(TINY_IDINVERT.generator.channels)
    assert len(found.needs) == 1
    assert found.export == f"hyperstyle-deploy export {generator} --encoder ENCODER.pth --vgg16 VGG16.pth -o BUNDLE"
    found = inspect(encoder, every_byte=True)
    assert (found.method, found.networks.input, found.networks.channels) == (
        "idinvert-encoder",
        "photo, 32x32",
        [8, 12, 16, 16],
    )
    assert f"--encoder {encoder}" in str(found.export)
    assert f"--vgg16 {vgg16}" in str(inspect(vgg16).export)
    broken = saved(encoder, lambda state: state.pop("block1.bn1.bn.bias"), tmp_path)
    assert "missing block1.bn1.bn.bias" in inspect(broken).needs[0]
