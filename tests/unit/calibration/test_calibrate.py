"""A whole calibration of a tiny bundle, and the chain behind it: inspect, verify, invert, build."""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import TensorProto

from hyperstyle_deploy.calibration import calibrate as module
from hyperstyle_deploy.calibration.blocks import find_blocks
from hyperstyle_deploy.calibration.calibrate import calibrate
from hyperstyle_deploy.calibration.effects import Effect
from hyperstyle_deploy.calibration.report import write_report
from hyperstyle_deploy.calibration.settings import Settings
from hyperstyle_deploy.calibration.stage_graph import StageGraph, place
from hyperstyle_deploy.cli import main
from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.errors import BackendError, CalibrationError, OutputError
from hyperstyle_deploy.runtime.bundle.reader import MANIFEST_NAME, Bundle
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum
from hyperstyle_deploy.runtime.quality.tolerance import psnr
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.small_bundle import with_graphs
from hyperstyle_deploy.tests.unit.calibration.conftest import STEPS, Calibrated


def cli(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_the_target_is_met_at_every_step_where_it_is_measured_anew(calibrated: Calibrated, bundle: Bundle) -> None:
    assert calibrated.report.met
    plain, narrow = (load(path, "onnxruntime") for path in (bundle.path, calibrated.path))
    photo = plain.prepare([PHOTO])
    pairs = zip(plain.refine(photo, STEPS), narrow.refine(photo, STEPS), strict=True)
    found = [psnr(got.image, want.image) for want, got in pairs]
    assert calibrated.report.image is not None
    assert min(found) >= 40
    assert np.allclose(found, calibrated.report.image.psnr, atol=0.01)


def test_every_block_has_an_effect_and_a_fate(calibrated: Calibrated, graphs: dict[str, StageGraph]) -> None:
    blocks = {block.name: block for block in calibrated.report.blocks}
    assert list(blocks) == [block.name for block in find_blocks(graphs)]
    assert any(block.quantized for block in blocks.values())
    for block in blocks.values():
        assert len(block.alone.psnr) == STEPS + 1
        assert 20 < block.alone.worst < 150
        assert block.quantized is (block.reason is None)
    # What the hypernetwork does is not in the image before the first step.
    trunk = [block for name, block in blocks.items() if name.startswith("hypernet unit")]
    assert len(trunk) > 2
    assert all(block.alone.psnr[0] == float("inf") for block in trunk)


def elements(path: Path, stages: Iterable[str]) -> Counter[int]:
    """Elements of the constants of graphs, each place in a file once, by their types; scales are left out.

    Constants inside graphs are those that are small, and in 8 bits more are.
    """
    found: dict[object, tuple[int, int]] = {}
    for stage in stages:
        for tensor in onnx.load(path / f"{stage}.onnx", load_external_data=False).graph.initializer:
            inside = (stage, tensor.name) if tensor.data_type == TensorProto.INT8 and tensor.dims else None
            if (where := place(tensor) or inside) is not None and not tensor.name.endswith(".scale"):
                found[where] = (tensor.data_type, prod(tensor.dims))
    counts: Counter[int] = Counter()
    for kind, size in found.values():
        counts[kind] += size
    return counts


def test_what_is_quantized_is_smaller_and_nothing_is_kept_twice(
    calibrated: Calibrated, bundle: Bundle, graphs: dict[str, StageGraph]
) -> None:
    quantized = sum(block.parameters for block in calibrated.report.blocks if block.quantized)
    before, after = (elements(path, graphs) for path in (bundle.path, calibrated.path))
    assert after[TensorProto.INT8] == quantized
    assert after[TensorProto.FLOAT] == before[TensorProto.FLOAT] - quantized
    sizes = [sum(file.stat().st_size for file in path.glob("*.safetensors")) for path in (bundle.path, calibrated.path)]
    assert quantized * 2.5 < sizes[0] - sizes[1] < quantized * 3
    spans = {}
    for stage in bundle.manifest.graphs:
        for tensor in onnx.load(calibrated.path / f"{stage}.onnx", load_external_data=False).graph.initializer:
            if (where := place(tensor)) is not None:
                entries = {entry.key: entry.value for entry in tensor.external_data}
                spans[where] = int(entries["length"])
    for file in {where.file for where in spans}:
        ordered = sorted((where.offset, length) for where, length in spans.items() if where.file == file)
        assert all(a + n <= b for (a, n), (b, _) in pairwise(ordered))


def test_offsets_and_weights_share_their_constants(calibrated: Calibrated) -> None:
    places = {}
    for stage in ("offsets", "weights"):
        model = onnx.load(calibrated.path / f"{stage}.onnx", load_external_data=False)
        places[stage] = {place(tensor) for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8}
    assert places["offsets"] == places["weights"] != set()


def test_onnxruntime_multiplies_matrices_as_they_are_stored(
    calibrated: Calibrated, bundle: Bundle, tmp_path: Path
) -> None:
    """It has one node for a DQ and a product. Where it makes another of the product, it widens 1 GB at every run."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # a warning: the file is for this machine
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.data")
    onnxruntime.InferenceSession(calibrated.path / "weights.onnx", options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph.node
    kinds = Counter(node.op_type for node in nodes)
    assert kinds["DequantizeLinear"] == 0
    layers = Counter(layer.offset for layer in bundle.manifest.layers)
    assert kinds["MatMulNBits"] == layers["channel"]
    assert kinds["DynamicQuantizeMatMul"] == 1 + layers["full"]  # all of which share a part


def test_the_report_is_in_the_bundle_and_says_what_saturates(calibrated: Calibrated) -> None:
    document = json.loads((calibrated.path / "calibration.json").read_text())
    assert document == json.loads(json.dumps(calibrated.report.to_json()))
    assert document["met"] is True
    assert "calibration.json" in Bundle.open(calibrated.path).manifest.files
    for tensor in document["tensors"]:
        assert tensor["block"] is None or tensor["block"] in {block["name"] for block in document["blocks"]}
        assert len(tensor["steps"]) == (1 if tensor["stage"] == "encoder" else STEPS)
        peak = max(max(abs(step["minimum"]), abs(step["maximum"])) for step in tensor["steps"])
        assert 0 < tensor["threshold"] <= peak
        assert all(0 <= step["saturated"] < 0.01 for step in tensor["steps"])


def test_progress_ends_where_it_said(calibrated: Calibrated) -> None:
    last = {what: (done, total) for what, done, total in calibrated.progress}
    assert {"ranges", "thresholds", "sensitivity", "the float32 bundle", "the calibrated bundle"} == set(last)
    assert all(done == total for done, total in last.values())


def test_plots_are_written(calibrated: Calibrated, tmp_path: Path) -> None:
    assert write_report(calibrated.report, tmp_path / "report") is (find_spec("matplotlib") is not None)
    assert (tmp_path / "report" / "calibration.json").exists()
    if find_spec("matplotlib"):
        assert {file.name for file in (tmp_path / "report").glob("*.png")} == {"ranges.png", "blocks.png"}


def test_inspect_and_verify_know_it(calibrated: Calibrated, tiny_checkpoints: tuple[Path, Path]) -> None:
    status, text = cli("inspect", calibrated.path)
    assert status == 0
    assert "float32+int8" in text
    checkpoint, encoder = tiny_checkpoints
    against = ("--against", checkpoint, "--w-encoder", encoder)
    status, text = cli("verify", calibrated.path, *against, "--steps", 1, "--backend", "onnxruntime")
    assert status == 0, text
    assert "within tolerance" in text


def test_invert_runs_it_and_its_inversions_belong_to_the_model(
    calibrated: Calibrated, bundle: Bundle, tmp_path: Path
) -> None:
    status, text = cli("invert", calibrated.path, PHOTO, "-o", tmp_path, "--steps", 1, "--backend", "onnxruntime")
    assert status == 0, text
    assert load(calibrated.path, "onnxruntime").manifest.model == bundle.manifest.model


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="needs tensorrt-rtx")
def test_tensorrt_rtx_builds_the_int8_graphs(calibrated: Calibrated, tmp_path: Path) -> None:
    path = tmp_path / "int8.bundle"
    shutil.copytree(calibrated.path, path)
    command = ("build", path, "--target", "tensorrt-rtx", "--compute-capability", "89", "--batch", "1")
    status, text = cli(*command, "--stages", "hypernet,offsets", "--json")
    assert status == 0, text


# What is refused


def test_a_calibrated_bundle_is_not_calibrated_again(calibrated: Calibrated, tmp_path: Path) -> None:
    status, text = cli("calibrate", calibrated.path, PHOTO, "-o", tmp_path / "out")
    assert status == 2
    assert "is calibrated already" in text
    assert not (tmp_path / "out").exists()


def test_a_target_out_of_reach_writes_no_bundle(
    bundle: Bundle, ranges: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hopeless(self: module._Calibration, _: object) -> dict[str, Effect]:
        worst = Effect((20.0,) * (STEPS + 1), (0.04,) * (STEPS + 1), (1.0,) * (STEPS + 1))
        return {block.name: worst for block in self._blocks}

    monkeypatch.setattr(module._Calibration, "_sensitivity", hopeless)
    output = tmp_path / "out"
    arguments = (bundle.path, PHOTO, "-o", output, "--steps", STEPS, "--checked", 1, "--backend", "onnxruntime")
    status, text = cli("calibrate", *arguments)
    assert status == 1
    assert "No bundle was written" in text
    assert "offsets w2: alone it gives 20.0 dB" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["out-report"]
    assert json.loads((tmp_path / "out-report" / "calibration.json").read_text())["met"] is False


def test_an_output_that_exists_is_refused_before_the_work(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists"):
        calibrate(bundle.path, [PHOTO], tmp_path)
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="is not a bundle"):
        calibrate(bundle.path, [PHOTO], tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (Settings(form="int4"), "Unknown format"),
        (Settings(method="median"), "No such method"),
        (Settings(form="fp8", method="entropy"), "No such method"),
        (Settings(steps=0), "steps is out of range for hyperstyle"),
        (Settings(steps=1001), "1 to 1000"),
        (Settings(checked=0), "needs photos"),
    ],
)
def test_settings_that_make_no_sense(bundle: Bundle, tmp_path: Path, settings: Settings, what: str) -> None:
    with pytest.raises(CalibrationError, match=what):
        calibrate(bundle.path, [PHOTO], tmp_path / "out", settings)


def test_a_method_without_steps_takes_none(toys: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"steps is out of range for e4e\. Got: 1\. Expected: 0"):
        calibrate(toys("e4e"), [PHOTO], tmp_path / "out", Settings(steps=1))
    with pytest.raises(CalibrationError, match=r"nothing to quantize\. Got: encoder"):  # its only layer reads pictures
        calibrate(toys("e4e"), [PHOTO], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sixteen_bits_and_gpus_are_refused(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "half.bundle"
    copied.mkdir()
    manifest = with_graphs(dataclasses.replace(bundle.manifest, precision="float16"))
    (copied / MANIFEST_NAME).write_text(with_checksum(manifest.to_json()))
    monkeypatch.setattr(Bundle, "check_files", lambda self: None)
    monkeypatch.setattr(Bundle, "check_graphs", lambda self: None)
    with pytest.raises(CalibrationError, match="in 16 bits"):
        calibrate(copied, [PHOTO], tmp_path / "out")
    monkeypatch.setattr(module, "resolve", lambda name: "tensorrt")
    with pytest.raises(BackendError, match="on the CPU"):
        calibrate(bundle.path, [PHOTO], tmp_path / "out")
