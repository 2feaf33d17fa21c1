"""`batch` as an operator meets it: killed, stopped, out of disk, two at once; resuming gives a clean run's results."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import parquet

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.serving.bulk.ledger import DONE, WAITING, Ledger
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.unit.runtime.bulk.conftest import results_in, write_photos

COUNT = 16
#: A photo takes about a tenth of a second.
SETTINGS = ("--backend", "onnxruntime", "--steps", 20, "--workers", 2, "--threads", 1, "--attempts", 50)
#: The command in a process of its own, with so many bytes that a file may have.
DRIVER = """
import resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from hyperstyle_deploy.cli import main
if __name__ == "__main__":
    main()
"""


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["batch", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@contextmanager
def running(*arguments: object, limit: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process group of its own, which is gone afterwards."""
    command = [sys.executable, "-c", DRIVER, limit, "batch", *arguments]
    pipe = subprocess.PIPE
    process = subprocess.Popen(list(map(str, command)), stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def done(folder: Path) -> int:
    """Photos that are done so far."""
    if not (folder / "ledger.sqlite").exists():
        return 0
    with Ledger(folder / "ledger.sqlite") as ledger:
        return sum(each.photos for each in ledger.counts() if each.state == DONE)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, *(f"{number}.png" for number in range(COUNT)))
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, toys: Callable[..., Path], photos: Path) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clean")
    assert run("run", toys(), photos, "-o", folder, *SETTINGS).exit_code == 0
    results = results_in(folder)
    assert len(results) == 2 * COUNT
    return results


def test_a_batch_from_its_first_run_to_its_tables(toys: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", "a.png", "b.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "photos" / "results"  # below the photos: results are no photos
    settings = ("--backend", "onnxruntime", "--steps", 1, "--workers", 1, "--attempts", 2, "--write", "image,thumbnail")
    first = run("run", toys(), tmp_path / "photos", "-o", out, *settings, "--json")
    assert first.exit_code == 1
    document = json.loads(first.stdout)
    assert document["states"] == {"waiting": 0, "running": 0, "done": 2, "failed": 1}
    assert document["errors"]["failed"] == {"ImageError": 1}
    assert sorted(name.split("-")[0] for name in results_in(out)) == ["a", "a", "b", "b"]

    write_photos(tmp_path / "photos", "broken.jpg")
    assert run("run", toys(), tmp_path / "photos", "-o", out, *settings).exit_code == 1
    assert "1 photos wait again" in run("retry", out, "--error", "ImageError").stdout
    assert json.loads(run("status", out, "--json").stdout)["states"]["waiting"] == 1
    last = run("run", toys(), "-o", out, *settings)  # with what the ledger has
    assert last.exit_code == 0
    assert "3 done, 0 failed, of 3 photos" in last.stdout

    assert "3 photos are in" in run("export", out, "-o", tmp_path / "all.csv").stdout
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png", "broken.jpg"]
    assert all((out / name).is_file() for row in rows for name in row["results"].split(" "))
    assert run("export", out, "-o", tmp_path / "done.parquet", "--state", "done").exit_code == 0
    table = parquet.read_table(tmp_path / "done.parquet").to_pylist()
    assert [row["path"] for row in table] == [row["path"] for row in rows]
    assert [row["attempts"] for row in table] == [1, 1, 1]
    assert all(row["loop_l2"] > 0 and len(row["sha256"]) == 64 for row in table)
    assert run("export", out, "-o", tmp_path / "table.xlsx").exit_code == 2
    assert run("report", out, "-o", tmp_path / "page.html").exit_code == 0
    assert "3 of 3 photos are done" in (tmp_path / "page.html").read_text()
    assert run("export", out, "-o", tmp_path / "none.csv", "--state", "failed").stdout.startswith("0 photos")


def test_a_further_generator_draws(toys: Callable[..., Path], tmp_path: Path) -> None:
    """What `invert --generator` gives; and a ledger's photos have one generator."""
    bundle = toys("hyperstyle", generators=(FineTunedSpec("toonify", (5, 7), 2),))
    photos = write_photos(tmp_path, "a.png", "b.png")
    settings = ("--backend", "onnxruntime", "--steps", 2, "--workers", 1, "--threads", 1)
    drawn = run("run", bundle, *photos, "-o", tmp_path / "out", *settings, "--generator", "toonify")
    assert drawn.exit_code == 0, drawn.output
    session = load(bundle, backend="onnxruntime", threads=1, generator="toonify")
    for photo in photos:
        (file,) = (tmp_path / "out").glob(f"{photo.stem}-*.inversion")
        found, expected = Inversion.load(file), session.invert(photo, steps=2)
        assert found.method == "hyperstyle+toonify"
        np.testing.assert_array_equal(found.codes, expected.codes)
        np.testing.assert_array_equal(np.asarray(Image.open(file.with_suffix(".png"))), expected.image)
    other = run("run", bundle, "-o", tmp_path / "out", *settings)
    assert other.exit_code == 2
    assert "other settings. Got: --generator left out. Expected: --generator toonify." in other.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{bundle}", "-o", "{tmp}/new"), "No photos were named"),
        (("{bundle}", "{tmp}/none.jpg", "-o", "{tmp}/new"), "There is no"),
        (("{bundle}", "{tmp}", "-o", "{tmp}/new"), "No photos in"),
        (("{tmp}", "{photos}", "-o", "{tmp}/new"), "is not a bundle"),
        (("{bundle}", "{photos}", "-o", "{tmp}/new", "--write", "films"), "Unknown results"),
        (("{bundle}", "{photos}", "-o", "{tmp}/new", "--backend", "nothing"), "Unknown backend"),
        (("{bundle}", "{photos}", "-o", "{tmp}/new", "--generator", "toonify"), "The bundle has no generator toonify"),
        (("{bundle}", "{photos}", "-o", "{photos}/0.png"), "Cannot make the folder"),
        (("{bundle}", "{photos}", "-o", "{tmp}/new", "--ledger", "{tmp}/nowhere/ledger"), "Cannot make the ledger"),
    ],
)
def test_what_is_asked_for_wrongly(
    toys: Callable[..., Path], photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    places = {"bundle": toys(), "photos": photos, "tmp": tmp_path}
    result = run("run", *(each.format(**places) for each in arguments), "--steps", 1)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not results_in(tmp_path)


def test_other_settings_and_other_ledgers_are_refused(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    command = ("run", toys(), photos, "-o", tmp_path / "out", "--backend", "onnxruntime", "--workers", 1)
    assert run(*command, "--steps", 1).exit_code == 0
    before = results_in(tmp_path / "out")
    again = run(*command, "--steps", 2)
    assert again.exit_code == 2
    assert "--steps 2. Expected: --steps 1" in again.stderr
    assert results_in(tmp_path / "out") == before
    assert run(*command, "--steps", 1, "--threads", 7).exit_code == 2
    assert run(*command[:-1], 2, "--steps", 1).exit_code == 0  # more workers, each with as many threads as before
    assert run("status", tmp_path).exit_code == 2
    (tmp_path / "text").write_text("no ledger" * 1000)
    assert "not a database" in run("status", tmp_path / "text").stderr


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.exhaustive)])
def test_killed_at_any_moment_it_resumes(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path, times: int
) -> None:
    """kill -9 of who watches; its workers end by themselves, and the last run finds all it needs."""
    command = ("run", toys(), photos, "-o", tmp_path, *SETTINGS)
    draw = random.Random(times)
    for _ in range(times):
        before = done(tmp_path)
        if before == COUNT:  # a machine may do the rest between two looks
            break
        with running(*command) as process:
            wait_for(lambda before=before: done(tmp_path) > before)  # type: ignore[misc]
            time.sleep(draw.random() / 5)
            workers = psutil.Process(process.pid).children()
            process.kill()
            assert psutil.wait_procs(workers, 10)[1] == []
    assert run(*command).exit_code == 0
    assert results_in(tmp_path) == clean


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_told_to_stop_it_ends_within_a_photo(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path, number: int, group: bool
) -> None:
    """A terminal's Ctrl-C reaches the workers as well."""
    command = ("run", toys(), photos, "-o", tmp_path, *SETTINGS)
    with running(*command) as process:
        wait_for(lambda: done(tmp_path) > 0)
        (os.killpg if group else os.kill)(process.pid, number)
        before = done(tmp_path)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "the same command does the others" in errors
    assert "Traceback" not in errors
    ended = done(tmp_path)
    assert before <= ended <= before + 4  # the two that were begun, and two that may have been begun since
    assert len(results_in(tmp_path)) == 2 * ended
    states = json.loads(run("status", tmp_path, "--json").stdout)["states"]
    assert states == {"waiting": COUNT - ended, "running": 0, "done": ended, "failed": 0}
    assert run(*command).exit_code == 0
    assert results_in(tmp_path) == clean


def test_on_a_full_disk_it_stops_and_goes_on_later(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    """When the ledger is made, and when it grows."""
    command = ("run", toys(), photos, "-o", tmp_path, *SETTINGS)
    for limit in (1000, 150_000):
        with running(*command, limit=limit) as process:
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 2, errors
        assert "ledger" in errors
        assert "Traceback" not in errors
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        rows = {(row.state, row.attempts, row.error) for row in ledger.rows()}
    assert (WAITING, 0, None) in rows
    assert rows <= {(WAITING, 0, None), (DONE, 1, None)}, "a photo paid for it"
    assert run(*command).exit_code == 0
    assert results_in(tmp_path) == clean


def test_two_runs_share_the_work(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    command = ("--log-file", tmp_path / "log", "batch", "run", toys(), photos, "-o", tmp_path / "out", *SETTINGS)
    both = [subprocess.Popen([sys.executable, "-m", "hyperstyle_deploy", *map(str, command)]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert results_in(tmp_path / "out") == clean
    ended = [
        line.split(": ")[0].split()[-1] for line in (tmp_path / "log").read_text().splitlines() if ": done" in line
    ]
    assert len(ended) == len(set(ended)) == COUNT
