"""Bundles as they are written: graphs, free axes, shared constants, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hyperstyle_deploy.errors import CheckpointError, ExportError, OutputError
from hyperstyle_deploy.export.comparison import compare, outputs_of
from hyperstyle_deploy.export.exporter import REPORTS, export
from hyperstyle_deploy.export.graphs import Graph
from hyperstyle_deploy.export.onnx_writer import Constants, collect_constants, trace, write_graph
from hyperstyle_deploy.export.precision import FLOAT32
from hyperstyle_deploy.runtime.bundle.reader import Bundle


def test_the_bundle_is_whole_and_small(faces256_bundle: Path) -> None:
    manifest = Bundle.open(faces256_bundle).manifest
    assert sum(file.bytes for file in manifest.files.values()) <= 1.6e9
    assert {path.name for path in faces256_bundle.iterdir()} == {*manifest.files, "bundle.json"}
    assert manifest.provenance["checkpoint"]["file"] == "hyperstyle.pt"
    for stage, graph in manifest.graphs.items():
        model = onnx.load(faces256_bundle / graph.file, load_external_data=False)
        assert [value.name for value in model.graph.input] == [tensor.name for tensor in graph.inputs]
        assert [value.name for value in model.graph.output] == [tensor.name for tensor in graph.outputs]
        assert next(entry.version for entry in model.opset_import if not entry.domain) == FLOAT32.opset == graph.opset
        assert {node.domain for node in model.graph.node} == {""}, f"{stage} uses an operator that is not standard"


def test_free_axes_have_names(faces256_bundle: Path) -> None:
    graphs = json.loads((faces256_bundle / "bundle.json").read_text())["graphs"]
    assert graphs["encoder"]["inputs"][0]["shape"] == ["batch", 3, 256, 256]
    assert graphs["hypernet"]["outputs"][0]["shape"] == ["batch", 13, 512]
    assert graphs["weights"]["inputs"][0]["shape"] == [1, 13, 512]
    assert [tensor["shape"] for tensor in graphs["synthesis"]["outputs"]] == [["batch", 3, 256, 256]] * 2
    assert graphs["synthesis"]["inputs"][2] == {
        "name": "weight.convs.0",
        "dtype": "float32",
        "shape": [512, 512, 3, 3],
    }


def test_every_constant_is_stored_once(faces256_bundle: Path) -> None:
    """`offsets` and `weights` hold the same gigabyte, and the base weights are the loop's first weights as well."""
    places: dict[str, set[tuple[str, int]]] = {}
    for stage in ("offsets", "weights"):
        model = onnx.load(faces256_bundle / f"{stage}.onnx", load_external_data=False)
        entries = [
            ({pair.key: pair.value for pair in tensor.external_data}, math.prod(tensor.dims))
            for tensor in model.graph.initializer
            if tensor.external_data
        ]
        places[stage] = {(entry["location"], int(entry["offset"])) for entry, size in entries if size > 100_000}
    assert places["offsets"] < places["weights"]
    assert {location for location, _ in places["weights"] - places["offsets"]} == {"generator.safetensors"}


def test_demodulation_keeps_its_eps(faces256_bundle: Path) -> None:
    """Without it weights of 0 are demodulated to NaN; optimizers take 1e-8 for nothing."""
    graph = Bundle.open(faces256_bundle).manifest.graphs["synthesis_one"]
    session = onnxruntime.InferenceSession(faces256_bundle / graph.file, providers=["CPUExecutionProvider"])
    image, _ = session.run(None, {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs})
    assert np.isfinite(image).all()


def test_an_existing_output_is_left_alone(faces256_checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(OutputError, match="--overwrite"):
        export(*faces256_checkpoints, tmp_path / "mine")
    with pytest.raises(OutputError, match="not a bundle"):
        export(*faces256_checkpoints, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_exchanged_files_are_refused_and_nothing_is_left(
    faces256_checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    reports: list[str] = []
    with pytest.raises(CheckpointError, match="--w-encoder"):
        export(*reversed(faces256_checkpoints), tmp_path / "bundle", report=reports.append)
    assert list(tmp_path.iterdir()) == []
    assert 0 < len(reports) < REPORTS


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


def test_equal_constants_of_two_graphs_share_a_place(tmp_path: Path) -> None:
    constants = Constants(tmp_path)
    first = constants.add("a", "w", torch.ones(400))
    assert constants.add("b", "v", torch.ones(400)) == first
    assert constants.add("b", "u", torch.ones(20, 20)) != first  # equal bytes of another shape
    places = constants.write()
    assert len(places) == 2
    file, offset, length = places[first]
    content = (tmp_path / file).read_bytes()[offset : offset + length]
    np.testing.assert_array_equal(np.frombuffer(content, np.float32), np.ones(400, np.float32))
