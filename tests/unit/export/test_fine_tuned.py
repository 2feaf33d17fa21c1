"""Further generators: read, fitted to the bundle's own, and their stages against the published networks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hyperstyle_deploy.errors import CheckpointError
from hyperstyle_deploy.export.checkpoint import read_generator
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.graphs import Graph, build_graphs, graph_count, measure_scales, model_constants
from hyperstyle_deploy.export.methods.loading import load_model, read_checkpoints
from hyperstyle_deploy.export.methods.model import Choices, FineTuned, Model
from hyperstyle_deploy.export.precision import FLOAT32, precision_named
from hyperstyle_deploy.export.seeded import TINY, published_sizes, write_generator
from hyperstyle_deploy.kernels.arithmetic import tile_offset
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.unit.export.conftest import Written

#: At 64 pixels nothing is at 128: the layers of 16 pixels and more stand for them.
OFFSETS_FROM = 16


@pytest.fixture(scope="module")
def toonify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generator(tmp_path_factory.mktemp("finetuned") / "toonify.pt", TINY)


def further(written: Written, toonify: Path, method: str = "hyperstyle", **asked: Any) -> Model:
    fine_tuned = FineTuned({"toonify": toonify}, **asked)
    return load_model(read_checkpoints(written(method)), Choices(fine_tuned=fine_tuned))


def named(model: Model, name: str) -> Graph:
    return next(graph for graph in build_graphs(model) if graph.name == name)


def published(model: Model, codes: Tensor, offset_codes: Tensor, steps: float, kept: set[int]) -> Tensor:
    """The fine-tuned generator as the authors have it, with the offsets of some layers."""
    offsets = named(model, "offsets").module(offset_codes, torch.tensor(steps))
    tiled = {
        layer.index: torch.from_numpy(tile_offset(offset.numpy(), layer.kernel))[None]
        for layer, offset in zip(model.tuned, offsets, strict=True)
        if layer.index in kept
    }
    return model.further[0].generator(codes, tiled)


@torch.no_grad()
def test_the_stages_draw_what_the_published_generator_draws(written: Written, toonify: Path) -> None:
    model = further(written, toonify, offsets_from=OFFSETS_FROM)
    kept = {layer.index for layer in model.further[0].layers if layer.tuned}
    assert kept == {layer.index for layer in model.tuned if layer.resolution >= OFFSETS_FROM}
    assert len(kept) == 6
    weights, synthesis = named(model, "weights.toonify"), named(model, "synthesis.toonify")
    (offset_codes, _), codes = weights.args, synthesis.args[0]
    tensors = weights.module(offset_codes, torch.tensor(3.0))
    assert weights.outputs[0].startswith("weight.toonify.")
    image, _ = synthesis.module(codes, tensors[: len(kept)], tensors[len(kept) :], synthesis.args[3])
    expected = published(model, codes, offset_codes, 3.0, kept)
    torch.testing.assert_close(image, expected, atol=5e-5, rtol=0)
    # Before any step, and with none of the offsets, it is another picture.
    image, _ = synthesis.module(*synthesis.args)
    plain = model.further[0].generator(codes)
    torch.testing.assert_close(image, plain, atol=5e-5, rtol=0)
    assert (plain - expected).abs().max() > 0.05


@pytest.mark.parametrize("method", ["restyle-e4e", "e4e", None])
def test_codes_come_from_an_encoder(written: Written, toonify: Path, method: str | None) -> None:
    encoder = None if method is None else written(method, prefix="other/")[0]
    model = further(written, toonify, encoder=encoder)
    graphs = [graph.name for graph in build_graphs(model)]
    assert len(graphs) == len(set(graphs)) == graph_count(model)
    assert "weights.toonify" not in graphs
    expected = (
        {"generator_encoder", "generator_encoder_synthesis"} if method == "restyle-e4e" else {"generator_encoder"}
    )
    assert {name for name in graphs if name.startswith("generator_encoder")} == (expected if method else set())
    codes = model.further_codes
    assert (None if codes is None else codes.steps) == {"restyle-e4e": 2, "e4e": 0, None: None}[method]
    constants = model_constants(model, FLOAT32, measure_scales(model, FLOAT32))
    assert ("generator_encoder_latent_avg" in constants) == (method == "restyle-e4e")
    assert not torch.equal(constants["noise.toonify.conv1"], constants["noise.conv1"])


def test_the_methods_identity_is_its_own(written: Written, toonify: Path) -> None:
    """What inversions belong to does not depend on further generators."""
    model = further(written, toonify)
    alone = load_model(read_checkpoints(written()), Choices())
    assert [file.sha256 for _, file in model.checkpoints] == [file.sha256 for _, file in alone.checkpoints]
    assert [role for role, _ in model.further_checkpoints] == ["generator toonify"]


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.exhaustive
def test_an_export_and_a_session_on_it(written: Written, toonify: Path, tmp_path: Path, precision: str) -> None:
    fine_tuned = FineTuned({"toonify": toonify}, written("restyle-e4e", prefix="other/")[0], 3, OFFSETS_FROM)
    bundle = export(
        written(),
        tmp_path / "bundle",
        choices=Choices(fine_tuned=fine_tuned),
        precision=precision_named(precision).name,
    )
    (spec,) = bundle.manifest.generators
    assert (spec.name, spec.encoder_steps, len(spec.offsets)) == ("toonify", 3, 6)
    session = load(bundle.path, backend="onnxruntime", generator="toonify")
    person = session.invert(torch.randint(256, (64, 64, 3), dtype=torch.uint8).numpy(), steps=2)
    assert person.image is not None
    assert load(bundle.path, backend="onnxruntime").invert(person.image, steps=1).method == "hyperstyle"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"state_dict": {}}, r"has no generator.*state_dict.*g_ema"),
        ({"g_ema": {}}, "has no generator"),
        ({"g_ema": {"conv1": 3}}, "not a dense tensor"),
        ([1, 2], r"has no generator\. Got: list"),
    ],
)
def test_a_file_without_a_generator_is_refused(content: Any, match: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "toonify.pt")
    with pytest.raises(CheckpointError, match=match):
        read_generator(tmp_path / "toonify.pt")


def test_what_does_not_fit_is_refused(written: Written, toonify: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No generator can have this name"):
        load_model(read_checkpoints(written()), Choices(fine_tuned=FineTuned({"too.nify": toonify})))
    with pytest.raises(CheckpointError, match="for further generators"):
        load_model(read_checkpoints(written()), Choices(fine_tuned=FineTuned({}, toonify)))
    with pytest.raises(CheckpointError, match="is a W-encoder's file"):
        further(written, toonify, encoder=written()[1])
    with pytest.raises(CheckpointError, match="no steps of its own"):
        further(written, toonify, encoder=written("e4e")[0], encoder_steps=2)
    with pytest.raises(CheckpointError, match="own codes are for its own generator"):
        further(written, toonify, "e4e", encoder=written("restyle-e4e")[0])
    state = torch.load(toonify, weights_only=True)["g_ema"]
    torch.save(
        {"g_ema": {**state, "input.input": torch.full((1, *state["input.input"].shape[1:]), torch.nan)}},
        toonify.parent / "nan.pt",
    )
    with pytest.raises(CheckpointError, match=r"not finite g_ema\.input\.input"):
        further(written, toonify.parent / "nan.pt")
    del state["convs.0.noise.weight"]
    torch.save({"g_ema": state}, toonify.parent / "missing.pt")
    with pytest.raises(CheckpointError, match=r"missing g_ema\.convs\.0\.noise\.weight"):
        further(written, toonify.parent / "missing.pt")


@pytest.mark.exhaustive
def test_a_generator_of_another_size_is_refused(written: Written, tmp_path: Path) -> None:
    other = write_generator(tmp_path / "other.pt", published_sizes(256))
    with pytest.raises(CheckpointError, match=r"not fine-tuned from the bundle's.*256 pixels.*Expected: 64 pixels"):
        further(written, other)
