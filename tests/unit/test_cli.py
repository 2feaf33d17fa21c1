"""The command line as a user meets it: results, resuming, exit statuses, errors without a traceback, interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.bundle.inversion import Inversion

DATA = Path(__file__).parents[1] / "data"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos and one file that only calls itself one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.open(DATA / "faces.png").convert("RGB").resize((70, 90)).save(folder / "a[b].jpg")
    shutil.copy(DATA / "cars.png", folder / "car.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def real_options() -> list[tuple[str, str]]:
    """Commands and their options that take a number which need not be whole."""
    commands = {name: command for name, command in main.commands.items() if not isinstance(command, click.Group)}
    commands |= {
        f"{name} {below}": command
        for name, group in main.commands.items()
        if isinstance(group, click.Group)
        for below, command in group.commands.items()
    }
    return [
        (name, option.opts[0])
        for name, command in commands.items()
        for option in command.params
        if isinstance(option, click.Option) and isinstance(option.type, click.FLOAT.__class__)
    ]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_no_command_takes_what_is_no_number(number: str) -> None:
    assert len(real_options()) > 10
    for command, option in real_options():
        result = run(*command.split(), f"{option}={number}", "nothing", "nothing")
        assert (result.exit_code, f"Invalid value for '{option}'" in result.stderr) == (2, True), (command, option)


def test_invert_writes_resumes_and_reports(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    command = ("invert", tiny_bundle, photos, "-o", tmp_path / "out", "--steps", 1, "--batch", 2, "--every-step")
    first = run(*command, "--json")
    assert first.exit_code == 1
    summary = json.loads(first.stdout)
    status = {Path(entry["photo"]).name: entry for entry in summary["photos"]}
    assert {name: entry["status"] for name, entry in status.items()} == {
        "a[b].jpg": "done",
        "broken.jpg": "failed",
        "car.png": "done",
    }
    assert "broken.jpg" in status["broken.jpg"]["error"]
    assert len(status["car.png"]["loop_l2"]) == 2
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    kinds = ("inversion", "png", "step0.png", "step1.png", "strip.png")
    assert written == sorted(f"{name}.{kind}" for name in ("a[b]", "car") for kind in kinds)
    assert Image.open(tmp_path / "out" / "car.png").size == (64, 64)
    assert Image.open(tmp_path / "out" / "car.strip.png").size == (3 * 64, 64)
    assert Inversion.load(tmp_path / "out" / "car.inversion").steps == 1

    again = json.loads(run(*command, "--json").stdout)
    assert sorted(entry["status"] for entry in again["photos"]) == ["failed", "skipped", "skipped"]
    (tmp_path / "out" / "car.step1.png").unlink()
    repaired = json.loads(run(*command, "--json").stdout)
    assert sorted(entry["status"] for entry in repaired["photos"]) == ["done", "failed", "skipped"]
    assert (tmp_path / "out" / "car.step1.png").exists()


def test_the_table_names_every_photo(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    result = run("invert", tiny_bundle, photos / "a[b].jpg", "-o", tmp_path / "out", "--steps", 0, "--no-strip")
    assert result.exit_code == 0
    assert "a[b].jpg" in result.stdout
    assert not (tmp_path / "out" / "a[b].strip.png").exists()


def test_results_never_land_among_the_photos(tiny_bundle: Path, photos: Path) -> None:
    before = (photos / "car.png").read_bytes()
    result = run("invert", tiny_bundle, photos / "car.png", "-o", photos)
    assert result.exit_code == 2
    assert "among the photos" in result.stderr
    assert (photos / "car.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("invert", "{tmp}/none", "{data}/cars.png", "-o", "{tmp}/out"), "is not a bundle"),
        (("invert", "{bundle}", "{tmp}", "-o", "{tmp}/out"), "No photos"),
        (("invert", "{bundle}", "{data}/cars.png", "-o", "{tmp}/out", "--backend", "nothing"), "Unknown backend"),
        (("invert", "{bundle}", "{data}/cars.png", "-o", "{data}/cars.png/x"), "Cannot make the folder"),
        (("inspect", "{data}/cars.png"), "is not a checkpoint"),
        (("inspect", "{tmp}"), "is not a bundle"),
        (("export", "{tmp}/none.pt", "--w-encoder", "{tmp}/none.pt", "-o", "{tmp}/b"), "nothing there"),
        (("verify", "{tmp}/none"), "is not a bundle"),
    ],
)
def test_errors_are_sentences_and_exit_2(
    arguments: tuple[str, ...], message: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    filled = [argument.format(tmp=tmp_path, data=DATA, bundle=tiny_bundle) for argument in arguments]
    result = run(*filled)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "b").exists()


def test_a_missing_option_is_explained(tiny_bundle: Path, tiny_checkpoints: tuple[Path, Path]) -> None:
    result = run("export", "x.pt", "-o", "y")
    assert result.exit_code == 2
    assert "nothing there" in result.stderr
    result = run("verify", tiny_bundle, "--w-encoder", "x.pt")
    assert result.exit_code == 2
    assert "belongs to --against" in result.stderr
    result = run("verify", tiny_bundle, "--against", tiny_checkpoints[0])
    assert result.exit_code == 2
    assert "w_encoder.pt (w-encoder)" in result.stderr


def test_inspect_describes_checkpoints_and_bundles(tiny_checkpoints: tuple[Path, Path], tiny_bundle: Path) -> None:
    described = json.loads(run("inspect", tiny_checkpoints[0], "--json").stdout)
    assert (described["method"], described["domain"], described["size"]) == ("hyperstyle", "cartoon_faces", 64)
    assert described["tuned_layers"] == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    assert any("--w-encoder" in need for need in described["needs"])
    shared = next(part for part in described["parts"] if part["name"] == "hypernet: shared hypernetwork")
    # w1, b1, w2 and b2 of 64 channels, 48 hidden numbers and codes of 48: once, though several blocks name them.
    assert shared["parameters"] == 48 * 64 * 9 + 64 * 9 + 48 * 64 * 48 + 64 * 48
    encoder = json.loads(run("inspect", tiny_checkpoints[1], "--json").stdout)
    assert encoder["method"] == "w-encoder"
    bundle = json.loads(run("inspect", tiny_bundle, "--json").stdout)
    graphs = {"encoder", "hypernet", "offsets", "weights", "synthesis", "synthesis_one", "synthesis_styles"}
    assert set(bundle["graphs"]) == graphs
    for path in (*tiny_checkpoints, tiny_bundle):
        assert run("inspect", path).exit_code == 0


def test_verify_compares_with_the_checkpoint(
    tiny_bundle: Path, tiny_checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint, encoder = tiny_checkpoints
    good = run("verify", tiny_bundle, "--against", checkpoint, "--w-encoder", encoder, "--steps", 1, "--json")
    assert good.exit_code == 0
    assert json.loads(good.stdout)["within"] is True
    swapped = run("verify", tiny_bundle, "--against", encoder, "--w-encoder", checkpoint)
    assert swapped.exit_code == 2
    assert "is a W-encoder's file" in swapped.stderr
    files = run("verify", tiny_bundle, "--files-only")
    assert files.exit_code == 0
    assert "files have their checksums" in files.stdout


def test_ctrl_c_stops_cleanly_and_the_run_goes_on(tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "hyperstyle_deploy",
        "invert",
        str(tiny_bundle),
        str(photos),
        "-o",
        str(output),
    ]
    # A shell's background jobs, such as a CI's, ignore SIGINT, and so would what they start.
    process = subprocess.Popen(
        [*command, "--steps", "1000"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + 120
        while not output.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Stopped" in errors
    assert "Traceback" not in errors
    assert not [path for path in output.iterdir() if "partial" in path.name]


def test_a_killed_export_leaves_no_bundle(tiny_checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, encoder = map(str, tiny_checkpoints)
    bundle = tmp_path / "killed.bundle"
    command = [
        sys.executable,
        "-m",
        "hyperstyle_deploy",
        "export",
        checkpoint,
        "--w-encoder",
        encoder,
        "-o",
        str(bundle),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".killed.bundle.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not bundle.exists()
    assert list(tmp_path.glob(".killed.bundle.partial-*"))  # killed in the middle, indeed


def test_commands_are_listed_in_the_order_of_the_work_in_whole_sentences() -> None:
    lines = run("--help").stdout.partition("Commands:")[2].strip().splitlines()
    assert [line.split()[0] for line in lines] == list(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    assert "profile compare" in run("profile", "--help").stdout


def test_quiet_shows_results_alone_and_a_log_has_what_went_on(
    toys: Callable[..., Path], photos: Path, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    arguments = ("invert", toys(), photos, "-o", tmp_path / "out", "--steps", 1, "--backend", "onnxruntime")
    first = run("--quiet", "--log-file", log, *arguments)
    assert first.exit_code == 1
    assert first.stderr == ""
    assert "Results are in" in first.stdout
    assert "Next: hyperstyle-deploy evaluate" in first.stdout
    text = log.read_text()
    assert "every file has its checksum" in text
    assert "car.png: done 1 steps" in text
    assert "WARNING" in next(line for line in text.splitlines() if "broken.jpg" in line)
    second = run("-v", *arguments)
    assert "car.png: skipped" in second.stderr
    assert text == log.read_text()


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = run("--log-file", tmp_path / "missing" / "run.log", "inspect", tmp_path)
    assert result.exit_code == 2
    assert "Cannot write" in result.stderr


def test_a_folder_that_cannot_be_written_is_told_before_the_bundle_is_opened(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    result = run("invert", tmp_path / "no.bundle", photos, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_photo_that_is_not_there_is_told_before_the_bundle_is_opened(tmp_path: Path) -> None:
    result = run("invert", tmp_path / "no.bundle", tmp_path / "none.jpg", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "There is no" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_result_that_was_changed_is_made_again(toys: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").unlink()
    arguments = ("invert", toys(), photos, "-o", tmp_path / "out", "--steps", 1, "--backend", "onnxruntime", "--json")

    def statuses() -> dict[str, str]:
        found = json.loads(run(*arguments).stdout)["photos"]
        return {Path(photo["photo"]).name: photo["status"] for photo in found}

    assert statuses() == {"a[b].jpg": "done", "car.png": "done"}
    before = (tmp_path / "out" / "car.png").read_bytes()
    (tmp_path / "out" / "car.png").write_bytes(b"")
    assert statuses() == {"a[b].jpg": "skipped", "car.png": "done"}
    assert (tmp_path / "out" / "car.png").read_bytes() == before


def test_photos_of_odd_names_are_photos(toys: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, what a terminal would obey, and a name that another photo's strip would have."""
    (photos / "broken.jpg").unlink()
    for name in ("\udcff.png", "\x1b[2J.png", "car.strip.png"):
        shutil.copy(photos / "car.png", photos / name)
    result = run("-v", "invert", toys(), photos, "-o", tmp_path / "out", "--steps", 0, "--backend", "onnxruntime")
    assert result.exit_code == 0
    assert "\x1b[2J" not in result.stdout + result.stderr
    assert (tmp_path / "out" / "car.strip.png.png").exists()
    assert len(list((tmp_path / "out").glob("*.inversion"))) == 5
    again = run("invert", toys(), photos, "-o", tmp_path / "out", "--steps", 0, "--backend", "onnxruntime", "--json")
    assert {photo["status"] for photo in json.loads(again.stdout)["photos"]} == {"skipped"}
