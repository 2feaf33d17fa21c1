"""Every command ends when it is told to: within a step of work, with the signal's exit status and what it has done."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.session import load

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "demo.png"
#: Runs `python -c DRIVER FUNCTION CALLS SIGNAL arguments...`: the signal comes from within the numbered call of a
#: function, in whatever thread that is; at the end the number of calls is told.
DRIVER = """
import atexit, importlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
place, calls, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]
module, owner, name = place.split(":")
holder = importlib.import_module(module)
holder = getattr(holder, owner) if owner else holder
inner, done = getattr(holder, name), [0]

def counted(*args, **kwargs):
    done[0] += 1
    if done[0] == calls:
        os.kill(os.getpid(), number)
    return inner(*args, **kwargs)

setattr(holder, name, counted)
atexit.register(lambda: print(f"calls: {done[0]}", file=sys.stderr))
from hyperstyle_deploy.cli import main
main()
"""
SESSION = "onnxruntime:InferenceSession:run"
#: Graphs that a step of HyperStyle runs.
STEP = 3
SIGINT, SIGTERM = 2, 15


def stopped(place: str, calls: int, *arguments: object, number: int = SIGTERM) -> tuple[str, str, int]:
    """What a command said on both streams, and how often the function was called."""
    command = [sys.executable, "-c", DRIVER, place, calls, number, *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 128 + number, result.stderr
    assert "Stopped." in result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr, int(result.stderr.rsplit("calls: ", 1)[1])


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_invert_tells_what_was_done(toys: Callable[..., Path], tmp_path: Path, number: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(3):
        Image.new("RGB", (40, 40), (80 * index, 9, 9)).save(photos / f"{index}.png")
    each = 2 + 2 * STEP  # encoder, first image, two steps
    arguments = ("invert", toys(), photos, "-o", tmp_path / "out", "--backend", "onnxruntime", "--steps", 2, "--json")
    said, errors, calls = stopped(SESSION, each + 1, *arguments, number=number)
    document = json.loads(said)
    assert document["interrupted"] is True
    assert [(Path(photo["photo"]).name, photo["status"]) for photo in document["photos"]] == [("0.png", "done")]
    assert "1 of 3 photos are done" in errors
    assert calls == each + 1
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".inversion", ".png", ".png"]


HANGING = """
import hashlib, os, signal, threading
import onnxruntime
from hyperstyle_deploy.cli import main, stopping
stopping.GRACE = 0.5

def hang(*_, **__):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 1 << 30)  # minutes in a library, like a graph that does not end

onnxruntime.InferenceSession.run = hang
main()
"""


def test_a_run_that_hangs_in_a_graph_is_ended(toys: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ("invert", toys(), PHOTO, "-o", tmp_path / "out", "--backend", "onnxruntime")
    command = [sys.executable, "-c", HANGING, *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=50, check=False)
    assert result.returncode == 128 + SIGTERM, result.stderr
    assert "a call that did not return" in result.stderr


def test_profile_ends_its_threads_and_writes_what_it_measured(toys: Callable[..., Path], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ("profile", toys(), "--backend", "onnxruntime", "--steps", 1000, "--streams", 2, "--output", report)
    _, errors, calls = stopped(SESSION, 50, *arguments)
    assert json.loads(report.read_text())["interrupted"] is True
    assert "has what was measured" in errors
    assert calls <= 150  # some steps in each thread, of a thousand


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", ["verify", "calibrate"])
def test_long_runs_end(tinies: Callable[..., Path], tmp_path: Path, command: str) -> None:
    """Of the tiny layout: of a toy there is nothing to calibrate."""
    more = (PHOTO, "-o", tmp_path / "out", "--backend", "onnxruntime") if command == "calibrate" else ()
    _, _, calls = stopped(SESSION, 20, command, tinies("hyperstyle"), *more, "--steps", 1000)
    assert calls <= 20 + STEP
    assert not (tmp_path / "out").exists()


def test_evaluate_shows_the_results_until_then(tmp_path: Path) -> None:
    for folder in ("photos", "results"):
        (tmp_path / folder).mkdir()
        for index in range(5):
            Image.new("RGB", (40, 40), (40 * index, 9, 9)).save(tmp_path / folder / f"{index}.png")
    place = "hyperstyle_deploy.runtime.quality.evaluation::paper_input"
    said, errors, calls = stopped(place, 5, "evaluate", tmp_path / "photos", tmp_path / "results", "--json")
    assert [Path(score["result"]).name for score in json.loads(said)["pictures"]] == ["0.png", "1.png"]
    assert "These are 2 of 5 results" in errors
    assert calls == 5


@pytest.mark.exhaustive
def test_export_leaves_nothing(tiny_checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, encoder = tiny_checkpoints
    arguments = ("export", checkpoint, "--w-encoder", encoder, "-o", tmp_path / "bundle")
    _, _, calls = stopped("torch.onnx::export", 1, *arguments)
    assert calls == 1
    assert not list(tmp_path.iterdir())


def test_edit_tells_what_was_drawn(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle = shutil.copytree(toys(), tmp_path / "toy.bundle")
    with load(bundle, backend="onnxruntime") as session:
        vector = np.full((1, session.manifest.generator.width), 0.1, np.float32)
        session.directions.add([Direction("smile", vector, (0, 2), (-3, 3), session.manifest.model)])
        for name in ("anna", "bert"):
            session.invert(PHOTO, steps=1).save(tmp_path / f"{name}.inversion")
    people = (tmp_path / "anna.inversion", tmp_path / "bert.inversion")
    arguments = ("--direction", "smile=-1:1:3", "-o", tmp_path / "out", "--backend", "onnxruntime", "--json")
    each = 2  # the person's weights, and one batch of pictures
    said, errors, calls = stopped(SESSION, each + 1, "edit", bundle, *people, *arguments)
    document = json.loads(said)
    assert document["interrupted"] is True
    assert [Path(entry["inversion"]).name for entry in document["inversions"]] == ["anna.inversion"]
    assert "1 of 2 inversions are done" in errors
    assert calls == each + 1
