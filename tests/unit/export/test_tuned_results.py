"""What PTI's own program saves, whole modules with their source in them, becomes an inversion; nothing of it runs."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.tuned_results import import_tuned, read_tuned
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum
from hyperstyle_deploy.runtime.manifest.layers import Layer
from hyperstyle_deploy.runtime.methods.tuning import tuned_tensors
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle


def their_generator(ada: Any, layers: tuple[Layer, ...], state: dict[str, torch.Tensor]) -> nn.Module:
    """A generator of StyleGAN2-ADA out of tensors by the checkpoint's names."""
    generator, synthesis = ada("Generator"), ada("SynthesisNetwork")
    noises = iter(range(len(layers)))
    for layer in layers:
        own = {name: state[f"{layer.name}.{name}"] for name in ("conv.weight", "conv.modulation.weight")}
        affine = ada("FullyConnectedLayer", weight=own["conv.modulation.weight"])
        affine.bias = nn.Parameter(state[f"{layer.name}.conv.modulation.bias"])
        block = f"b{layer.resolution}"
        if not hasattr(synthesis, block):
            const = {"const": state["input.input"][0]} if layer.index == 0 else {}
            synthesis.add_module(block, ada("SynthesisBlock", resample_filter=torch.ones(4, 4), **const))
        more: dict[str, torch.Tensor] = {}
        if layer.demodulated:
            noise = state[f"noises.noise_{next(noises)}"][0, 0]
            more = {"noise_const": noise, "noise_strength": state[f"{layer.name}.noise.weight"][0]}
        bias = state[f"{layer.name}.activate.bias"] if layer.demodulated else state[f"{layer.name}.bias"].reshape(-1)
        made = ada("SynthesisLayer", weight=own["conv.weight"][0], bias=bias, **more)
        made.affine = affine
        kind = "torgb" if not layer.demodulated else "conv0" if layer.up else "conv1"
        getattr(synthesis, block).add_module(kind, made)
    generator.synthesis = synthesis
    generator.mapping = ada("MappingNetwork", w_avg=torch.zeros(WIDTH))
    return generator


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=stream) for name, shape in shapes.items()}


@pytest.fixture
def published(ada: Any, tmp_path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """`toy.bundle`, its `checkpoint.pt`, PTI's `model.pt` and `0.pt`; the generator's tensors before and after."""
    bundle = write_toy_bundle(tmp_path / "toy.bundle", "e4e", gradients=("pti",))
    layers = read_manifest(bundle.path).layers
    base = drawn(tuned_tensors(layers, WIDTH), 0)
    sides = [layer.resolution for layer in layers if layer.demodulated]
    noises = drawn({f"noises.noise_{index}": (1, 1, side, side) for index, side in enumerate(sides)}, 1)
    content = {"state_dict": {f"decoder.{name}": tensor for name, tensor in {**base, **noises}.items()}}
    torch.save(content, tmp_path / "checkpoint.pt")
    document = json.loads((bundle.path / "bundle.json").read_bytes())
    document["checkpoints"][0]["sha256"] = hashlib.sha256((tmp_path / "checkpoint.pt").read_bytes()).hexdigest()
    (bundle.path / "bundle.json").write_text(with_checksum(document))
    tuned = {name: tensor + 0.01 * drawn({name: tensor.shape}, 2)[name] for name, tensor in base.items()}
    torch.save(their_generator(ada, layers, {**tuned, **noises}), tmp_path / "model.pt")
    torch.save(torch.randn(1, STYLES, WIDTH).requires_grad_(), tmp_path / "0.pt")
    return {**base, **noises}, tuned


def test_a_tuned_module_becomes_an_inversion(published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, tuned = published
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        monkeypatch.delitem(sys.modules, name)  # where the files are read there is no StyleGAN2-ADA
    monkeypatch.chdir(tmp_path)
    words = ["import-pti", "toy.bundle", "model.pt", "0.pt", "--checkpoint", "checkpoint.pt", "-o", "a.inversion"]
    result = CliRunner().invoke(main, [*words, "--store", "float32", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "ran").exists()
    found = Inversion.load(tmp_path / "a.inversion")
    codes = torch.load(tmp_path / "0.pt", weights_only=True).detach().numpy()[0]
    np.testing.assert_array_equal(found.codes, codes)
    row = torch.cat([(tuned[name] - base[name]).reshape(-1) for name in tuned])
    np.testing.assert_array_equal(found.arrays["differences"], row.numpy())
    assert (found.method, found.steps, found.source["imported"]) == ("pti", 0, "model.pt")
    session = load(tmp_path / "toy.bundle", backend="onnxruntime", method="pti")
    # The toy draws with the mean difference, so these weights are seen.
    plain = Inversion({**found.arrays, "differences": np.zeros_like(row.numpy()) - 0.5}, 0, "pti", found.model)
    assert np.any(session.synthesize(found) != session.synthesize(plain))


def test_a_state_dict_serves_as_well(published: Any, ada: Any, tmp_path: Path) -> None:
    base, tuned = published
    noises = {name: tensor for name, tensor in base.items() if name.startswith("noises.")}
    module = their_generator(ada, read_manifest(tmp_path / "toy.bundle").layers, {**tuned, **noises})
    torch.save(module.state_dict(), tmp_path / "state.pt")
    whole, plain = read_tuned(tmp_path / "model.pt"), read_tuned(tmp_path / "state.pt")
    assert set(whole) == set(plain)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, plain[name], rtol=0, atol=0)


def test_what_was_tuned_from_another_generator_is_refused(published: Any, ada: Any, tmp_path: Path) -> None:
    base, tuned = published
    layers = read_manifest(tmp_path / "toy.bundle").layers
    noises = {name: tensor for name, tensor in base.items() if name.startswith("noises.")}

    def refused(state: dict[str, torch.Tensor], said: str) -> None:
        torch.save(their_generator(ada, layers, state), tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match=said):
            import_tuned(*(tmp_path / name for name in ("toy.bundle", "checkpoint.pt", "other.pt", "0.pt")))

    refused({**tuned, **{name: noise + 1 for name, noise in noises.items()}}, "tuned from another generator")
    wide = {**tuned, **noises, "conv1.conv.weight": torch.zeros(1, 9, 8, 3, 3)}
    refused(wide, r"another generator than the bundle. Got: synthesis.b4.conv1.weight \[9, 8, 3, 3\]")


def test_what_is_no_module_of_theirs_is_refused(published: Any, ada: Any, tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "plain.pt")
    with pytest.raises(CheckpointError, match=r"no generator as PTI saves it. Got: list"):
        read_tuned(tmp_path / "plain.pt")
    torch.save({"state_dict": {}}, tmp_path / "nested.pt")
    with pytest.raises(CheckpointError, match="state_dict is not a dense tensor"):
        read_tuned(tmp_path / "nested.pt")
    torch.save(ada("MappingNetwork"), tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"no generator as PTI saves it. Got: MappingNetwork"):
        read_tuned(tmp_path / "other.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match=r"asks for Python code to be run. Got: torch.nn.modules.linear.Linear"):
        read_tuned(tmp_path / "foreign.pt")
    torch.save(torch.zeros(1, STYLES + 1, WIDTH), tmp_path / "pivot.pt")
    with pytest.raises(CheckpointError, match="other codes than the bundle takes"):
        import_tuned(*(tmp_path / name for name in ("toy.bundle", "checkpoint.pt", "model.pt", "pivot.pt")))
