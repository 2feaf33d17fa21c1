"""`build` and `inspect` as a user meets them: tables, JSON, exit statuses, Ctrl-C."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.cli.show.progress import build_progress
from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints
from hyperstyle_deploy.runtime.backends.engines.record import engines_folder, read_record
from hyperstyle_deploy.runtime.bundle.reader import read_manifest

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.toy_bundle import ToyBundle

RTX = "tensorrt-rtx"
GRAPHS = ("encoder", "hypernet", "offsets", "weights", "synthesis", "synthesis_one")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_build_says_what_it_built_and_what_it_kept(toy_bundle: "ToyBundle") -> None:
    command = ("build", toy_bundle.path, "--target", RTX, "--stages", "encoder, hypernet", "--batch", "2")
    first = run(*command)
    assert first.exit_code == 0
    assert first.stdout.count("│ built") == 2
    assert str(engines_folder(toy_bundle.path, RTX)) in first.stdout
    again = json.loads(run(*command, "--json").stdout)
    assert [(entry["recipe"]["stage"], entry["reused"]) for entry in again] == [("encoder", True), ("hypernet", True)]
    assert again[0]["recipe"]["batch"] == [2, 2, 2]
    forced = json.loads(run(*command, "--json", "--force").stdout)
    assert not any(entry["reused"] for entry in forced)


def test_every_option_reaches_the_recipe(toy_bundle: "ToyBundle") -> None:
    options = "--stages encoder --compute-capability 8.9,12.0 --workspace 256 --optimization-level 1 --tf32"
    (entry,) = json.loads(run("build", toy_bundle.path, "--target", RTX, *options.split(), "--json").stdout)
    assert entry["recipe"]["compute_capabilities"] == [89, 120]
    assert entry["recipe"]["flags"] == {
        "workspace_mib": 256,
        "optimization_level": 1,
        "version_compatible": False,
        "hardware_compatible": "none",
        "tf32": True,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "--target"),
        ("--target onnx", "tensorrt"),
        ("--target tensorrt-rtx --batch 4:2:1", "rising"),
        ("--target tensorrt-rtx --batch 0", "from 1"),
        ("--target tensorrt-rtx --batch 1:2", "MIN:OPT:MAX"),
        ("--target tensorrt-rtx --batch 1:2:9999", "to 256"),
        ("--target tensorrt-rtx --batch many", "N or MIN:OPT:MAX"),
        ("--target tensorrt-rtx --compute-capability ada", "such as 89,120"),
        ("--target tensorrt-rtx --compute-capability ,", "such as 89,120"),
        ("--target tensorrt-rtx --compute-capability 90", "--target tensorrt where there is one"),
        ("--target tensorrt-rtx --stages decoder", "Unknown stages"),
        ("--target tensorrt-rtx --stages ,", "No stages"),
        ("--target tensorrt-rtx --hardware-compatible ampere-plus", "Leave the option out"),
        ("--target tensorrt-rtx --timing-cache", "Leave the option out"),
    ],
)
def test_a_wrong_option_is_explained(toy_bundle: "ToyBundle", options: str, message: str) -> None:
    result = run("build", toy_bundle.path, *options.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (toy_bundle.path / "engines").exists()


def test_inspect_shows_engines_and_what_is_wrong_with_them(toy_bundle: "ToyBundle") -> None:
    assert json.loads(run("inspect", toy_bundle.path, "--json").stdout)["engines"] == []
    run("build", toy_bundle.path, "--target", RTX, "--stages", "encoder,hypernet")
    shown = run("inspect", toy_bundle.path).stdout
    assert shown.count("ready") == 2
    assert "80,86,89,120" in shown
    toy_bundle.replace("hypernet.onnx", (toy_bundle.path / "hypernet.onnx").read_bytes() + b"\x12\x01x")
    shown = run("inspect", toy_bundle.path).stdout
    assert (shown.count("ready"), shown.count("not usable")) == (1, 1)
    assert "another export of the graph" in shown
    assert f"hyperstyle-deploy build {toy_bundle.path} --target {RTX} --stages hypernet" in shown
    entries = json.loads(run("inspect", toy_bundle.path, "--json").stdout)["engines"]
    assert [entry["problem"] is None for entry in entries] == [True, False]


def test_the_bars_follow_nested_phases() -> None:
    with build_progress("Building", 1) as progress:
        bars: Any = progress._progress
        progress.stage_started("encoder")
        for depth, phase in enumerate(("one", "two", "three", "four")):
            progress.phase_started(phase, ("one", "two", "three")[depth - 1] if depth else None, 5)
        assert [bar.description.strip() for bar in bars.tasks] == ["Building: encoder", "one", "two", "three"]
        progress.step_done("two", 1)
        progress.step_done("unknown", 1)
        assert [bar.completed for bar in bars.tasks] == [0, 0, 2, 0]
        for phase in ("four", "three", "two"):
            progress.phase_finished(phase)
        progress.phase_started("two", "one", 3)  # a name may come again
        assert [bar.total for bar in bars.tasks] == [1, 5, 3]
        progress.stage_finished("encoder", "1.0 MB")
        assert bars.tasks[0].completed == 1


@pytest.fixture(scope="module")
def demo_copy(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's bundle again, to put engines into: 4 GB in all, so it goes when the tests are done."""
    copy = tmp_path_factory.mktemp("engines") / "seeded256.bundle"
    shutil.copytree(tiny_bundle, copy)
    yield copy
    shutil.rmtree(copy)


def check_sizes(bundle: Path, built: list[dict[str, Any]]) -> None:
    """Engines are whole, and about as large as the constants that their graphs point into, and some MB of their own.

    What the builder broadcasts it stores: noise plus bias, folded, would make `synthesis` ten times as large.
    """
    for entry in built:
        stage = entry["recipe"]["stage"]
        assert (engines_folder(bundle, RTX) / entry["file"]).stat().st_size == entry["bytes"]
        graph = onnx.load(bundle / f"{stage}.onnx", load_external_data=False).graph
        places = [{item.key: item.value for item in tensor.external_data} for tensor in graph.initializer]
        lengths = {(place["location"], place["offset"]): int(place["length"]) for place in places if place}
        assert 0.9 * sum(lengths.values()) < entry["bytes"] < 1.1 * sum(lengths.values()) + 20e6, stage


@pytest.mark.exhaustive
def test_every_stage_of_the_demo_bundle_is_built(demo_copy: Path) -> None:
    built = json.loads(run("build", demo_copy, "--target", RTX, "--stages", ",".join(GRAPHS), "--json").stdout)
    assert sorted(entry["recipe"]["stage"] for entry in built) == sorted(GRAPHS)
    assert [entry["warnings"] for entry in built] == [[]] * len(GRAPHS)
    check_sizes(demo_copy, built)
    assert run("inspect", demo_copy).stdout.count("│ ready") == len(GRAPHS)


@pytest.mark.exhaustive
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("method", ["psp", "e4e", "restyle-psp", "restyle-e4e", "separable"])
def test_every_stage_of_every_method_is_built(
    tinies: Callable[..., Path], tmp_path: Path, method: str, precision: str
) -> None:
    form = ("hyperstyle", precision, True) if method == "separable" else (method, precision, False)
    bundle = shutil.copytree(tinies(form[0], form[1], separable=form[2]), tmp_path / "copy.bundle")
    stages = sorted(read_manifest(bundle).graphs)
    built = json.loads(run("build", bundle, "--target", RTX, "--stages", ",".join(stages), "--json").stdout)
    assert sorted(entry["recipe"]["stage"] for entry in built) == stages
    check_sizes(bundle, built)


@pytest.mark.exhaustive
def test_every_stage_at_1024_in_fp16_is_built(tmp_path: Path, record_property: Any) -> None:
    checkpoint, encoder = write_checkpoints(tmp_path, sizes=published_sizes(1024))
    bundle = tmp_path / "fp16.bundle"
    exported = run("export", checkpoint, "--w-encoder", encoder, "-o", bundle, "--precision", "fp16")
    assert exported.exit_code == 0, exported.stderr
    checkpoint.unlink()  # 1.5 GB
    command = ["build", str(bundle), "--target", RTX, "--stages", ",".join(GRAPHS), "--json"]
    process = subprocess.run([sys.executable, "-m", "hyperstyle_deploy", *command], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    built = json.loads(process.stdout)
    assert sorted(entry["recipe"]["stage"] for entry in built) == sorted(GRAPHS)
    assert {entry["recipe"]["precision"] for entry in built} == {read_manifest(bundle).precision} != {"float32"}
    check_sizes(bundle, built)
    for entry in built:
        record_property(entry["recipe"]["stage"], f"{entry['bytes'] / 1e6:.1f} MB in {entry['seconds']:.1f} s")
    shutil.rmtree(bundle)


def test_termination_stops_a_build_and_leaves_nothing_half_written(demo_copy: Path) -> None:
    run("build", demo_copy, "--target", RTX, "--stages", "encoder")
    before = read_record(demo_copy, RTX)
    command = [sys.executable, "-m", "hyperstyle_deploy", "build", str(demo_copy), "--target", RTX]
    process = subprocess.Popen([*command, "--stages", "hypernet", "--force"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(engines_folder(demo_copy, RTX).glob(".*.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Stopped" in errors
    assert "Traceback" not in errors
    assert read_record(demo_copy, RTX) == before
    files = {file.name for file in engines_folder(demo_copy, RTX).iterdir()}
    assert files == {".lock", "engine.json", *(engine.file for engine in before.engines.values())}
