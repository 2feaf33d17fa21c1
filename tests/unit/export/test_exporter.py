"""Bundles as they are written, of every method: graphs, free axes, shared constants, provenance, refusals."""

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hyperstyle_deploy.demo import CHECKPOINT, ENCODER
from hyperstyle_deploy.errors import CheckpointError, ExportError, OutputError
from hyperstyle_deploy.export.comparison import compare, outputs_of
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.graphs import Graph
from hyperstyle_deploy.export.methods.model import Choices
from hyperstyle_deploy.export.onnx_writer import array_of, collect_constants, trace, write_graph
from hyperstyle_deploy.export.precision import FLOAT32
from hyperstyle_deploy.export.verification import PyTorchReference
from hyperstyle_deploy.runtime.bundle.constants import Constants
from hyperstyle_deploy.runtime.bundle.reader import Bundle, read_manifest
from hyperstyle_deploy.runtime.quality.verification.steps import compare_steps
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.conftest import LICENCE, kept_folder
from hyperstyle_deploy.tests.unit.export.conftest import Written

#: HyperStyle's codes from a ReStyle encoder, which draws with a generator and an average code of its own.
LOOPED = "hyperstyle behind restyle-e4e"
#: Tracing takes half a minute each, so that `make test` has a pass, a loop and HyperStyle; `make test-all` has all.
METHODS = (
    *("e4e", "restyle-e4e", "hyperstyle"),
    *(pytest.param(method, marks=pytest.mark.exhaustive) for method in ("psp", "restyle-psp", LOOPED)),
)

#: A method to its bundle's folder; tests must not change it.
Exported = Callable[[str], Path]


def checkpoints(written: Written, method: str) -> tuple[Path, ...]:
    """Of what ``exported`` gives; HyperStyle's are those of the trained model."""
    if method == "hyperstyle":
        return CHECKPOINT, ENCODER
    return (written()[0], *written("restyle-e4e", prefix="other/")) if method == LOOPED else written(method)


@pytest.fixture(scope="module")
def exported(written: Written, tinies: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    @cache
    def exported(method: str) -> Path:
        if method != LOOPED:
            return tinies(method)
        folder = kept_folder(tmp_path_factory, "looped") / "bundle"
        if not folder.exists():
            export(checkpoints(written, LOOPED), folder, choices=Choices(encoder_steps=2), licence=LICENCE)
        return folder

    return exported


@pytest.mark.parametrize("method", METHODS)
def test_the_bundle_is_whole(exported: Exported, method: str) -> None:
    folder = exported(method)
    manifest = Bundle.open(folder).manifest
    # The demo's has directions, too: a folder of their own.
    assert {path.name for path in folder.iterdir() if path.is_file()} == {*manifest.files, "bundle.json"}
    assert manifest.licence == (None if method == "hyperstyle" else LICENCE)  # the demo gives none
    for name, graph in manifest.graphs.items():
        model = onnx.load(folder / graph.file, load_external_data=False)
        assert [value.name for value in model.graph.input] == [tensor.name for tensor in graph.inputs]
        assert [value.name for value in model.graph.output] == [tensor.name for tensor in graph.outputs]
        assert next(entry.version for entry in model.opset_import if not entry.domain) == FLOAT32.opset == graph.opset
        operators = {node.op_type for node in model.graph.node}
        assert {node.domain for node in model.graph.node} == {""}, f"{name} uses an operator that is not standard"
        assert "Cast" not in operators, f"{name} is float32 throughout"
        assert not operators & {"Shape", "GatherND", "Where"}, f"{name} computes shapes or indices"


@pytest.mark.parametrize("method", METHODS)
def test_sessions_reproduce_pytorch(exported: Exported, written: Written, method: str) -> None:
    """From the exported graphs and constants through the runtime's loop, at every step."""
    session = load(exported(method), backend="onnxruntime")
    steps = min(session.manifest.default_steps, 2)
    photo = np.random.default_rng(5).integers(0, 256, (80, 80, 3), np.uint8)
    images = session.prepare([photo])
    reference = PyTorchReference(session.manifest, checkpoints(written, method))
    found = compare_steps(session, images, reference.states(images, steps), steps)
    assert [step.index for step in found] == list(range(steps + 1))
    assert all(step.within for step in found), found


def test_another_checkpoint_is_no_reference(exported: Exported, written: Written) -> None:
    manifest = Bundle.open(exported("hyperstyle")).manifest
    with pytest.raises(CheckpointError, match="is not the file that the bundle was exported from"):
        PyTorchReference(manifest, [written()[0], *written("e4e")])
    with pytest.raises(CheckpointError, match=r"more or fewer files.*hyperstyle\.pt \(hyperstyle\), w_encoder\.pt"):
        PyTorchReference(manifest, written("psp"))


def test_free_axes_have_names(exported: Exported) -> None:
    document = json.loads((exported("hyperstyle") / "bundle.json").read_text())
    graphs = document["graphs"]
    assert graphs["encoder"]["inputs"][0]["shape"] == ["batch", 3, 64, 64]
    assert graphs["hypernet"]["outputs"][0]["shape"] == ["batch", 9, 48]
    assert graphs["weights"]["inputs"][0]["shape"] == [1, 9, 48]
    assert [tensor["shape"] for tensor in graphs["synthesis"]["outputs"]] == [["batch", 3, 64, 64]] * 2
    assert graphs["synthesis"]["inputs"][2] == {
        "name": "weight.convs.0",
        "dtype": "float32",
        "shape": [64, 64, 3, 3],
    }
    assert document["state"] == [{"name": "codes", "shape": [10, 64]}, {"name": "offset_codes", "shape": [9, 48]}]


@pytest.mark.exhaustive
def test_the_manifest_says_where_it_came_from(exported: Exported) -> None:
    manifest = Bundle.open(exported(LOOPED)).manifest
    assert [(each.role, each.file) for each in manifest.checkpoints] == [
        ("hyperstyle", "hyperstyle.pt"),
        ("encoder", "restyle_e4e.pt"),
    ]
    assert (manifest.method.default_steps, manifest.method.encoder_steps) == (5, 2)
    assert {"torch", "onnx", "exported"} <= set(manifest.provenance)


def places(folder: Path, graph: str, least: int) -> set[tuple[str, int]]:
    """Where a graph's large constants are."""
    model = onnx.load(folder / f"{graph}.onnx", load_external_data=False)
    entries = [
        ({pair.key: pair.value for pair in tensor.external_data}, math.prod(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    return {(entry["location"], int(entry["offset"])) for entry, size in entries if size > least}


def test_every_constant_is_stored_once(exported: Exported) -> None:
    """`offsets` and `weights` hold the same matrices, and the base weights are the loop's first weights as well."""
    folder = exported("hyperstyle")
    offsets, weights = places(folder, "offsets", 2000), places(folder, "weights", 2000)
    assert offsets
    assert offsets < weights
    assert {location for location, _ in weights - offsets} == {"generator.safetensors"}


@pytest.mark.exhaustive
def test_two_equal_generators_are_one(written: Written, tmp_path: Path) -> None:
    """A ReStyle encoder beside the generator that it was trained for: its weights are the bundle's already."""
    folder = export((written()[0], *written("restyle-e4e")), tmp_path / "bundle").path
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
    assert sizes.get("encoder_synthesis.safetensors", 0) < sizes["generator.safetensors"] / 4
    constants = Bundle.open(folder).constants()
    assert np.array_equal(constants["encoder_latent_avg"], constants["latent_avg"])


def test_demodulation_keeps_its_eps(exported: Exported) -> None:
    """Without it weights of 0 are demodulated to NaN; optimizers take 1e-8 for nothing."""
    folder = exported("hyperstyle")
    graph = Bundle.open(folder).manifest.graphs["synthesis_one"]
    session = onnxruntime.InferenceSession(folder / graph.file, providers=["CPUExecutionProvider"])
    image, _ = session.run(None, {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs})
    assert np.isfinite(image).all()


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        ("hyperstyle", "float16"),
        pytest.param("hyperstyle", "bfloat16", marks=pytest.mark.exhaustive),
        pytest.param("restyle-psp", "float16", marks=pytest.mark.exhaustive),
    ],
)
def test_16_bit_bundles_agree_with_pytorch(tinies: Callable[..., Path], method: str, precision: str) -> None:
    """`export` itself compares every graph, its results rounded as on a GPU."""
    manifest = read_manifest(tinies(method, precision))
    narrow = {tensor.name for tensor in manifest.graphs["synthesis"].inputs if tensor.dtype == precision}
    assert narrow == {
        tensor.name for tensor in manifest.graphs["synthesis"].inputs if tensor.name.startswith(("weight.", "noise."))
    }


def test_an_existing_output_is_left_alone(written: Written, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(OutputError, match="--overwrite"):
        export(written(), tmp_path / "mine")
    with pytest.raises(OutputError, match="not a bundle"):
        export(written(), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_exchanged_files_are_refused_and_nothing_is_left(written: Written, tmp_path: Path) -> None:
    reports: list[Any] = []
    with pytest.raises(CheckpointError, match="--w-encoder"):
        export(written()[::-1], tmp_path / "bundle", report=lambda *told: reports.append(told))
    assert list(tmp_path.iterdir()) == []
    assert reports == [("reading checkpoints", None)]


class Scale(torch.nn.Module):
    """A stage of two outputs with one large constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.constant = torch.nn.Parameter(torch.arange(600, dtype=torch.float32) * factor)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * self.constant, x + 1


def small_graph(factor: float) -> Graph:
    x = torch.rand(2, 600, generator=torch.Generator().manual_seed(0))
    return Graph("small", Scale(factor), (x,), ({0: "rows"},), ("x",), ("scaled", "shifted"))


def test_a_graph_that_disagrees_is_refused_by_output(tmp_path: Path) -> None:
    graph = small_graph(1.0)
    model = trace(graph, FLOAT32.opset)
    constants = Constants(tmp_path)
    homes = collect_constants(model, "small", constants)
    assert homes
    spec = write_graph(model, graph, tmp_path / "small.onnx", homes, constants.write())
    assert spec.inputs[0].shape == ("rows", 600)
    assert compare(graph, tmp_path / "small.onnx", outputs_of(graph)) < 1e-6
    with pytest.raises(ExportError, match=r"scaled: \d") as caught:
        compare(graph, tmp_path / "small.onnx", outputs_of(small_graph(2.0)))
    assert "shifted" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_tensors_of_every_dtype_reach_the_constants_files(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(700).reshape(7, 100).to(dtype).t()  # not contiguous
    constants = Constants(tmp_path)
    home = constants.add("a", "w", *array_of(tensor))
    place = constants.write()[home]
    content = (tmp_path / place.file).read_bytes()[place.offset : place.offset + place.length]
    assert torch.equal(torch.frombuffer(bytearray(content), dtype=dtype).reshape(100, 7), tensor)
