"""The same batch on a local Ray: an actor is killed, who drives is killed, and the results are a clean run's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hyperstyle_deploy.runtime.serving.bulk.ledger import DONE, FAILED, Ledger
from hyperstyle_deploy.tests.unit.runtime.bulk.conftest import results_in, write_photos

pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytestmark = pytest.mark.exhaustive

COUNT = 40
SETTINGS = ("--backend", "onnxruntime", "--threads", 1, "--steps", 30, "--workers", 2, "--attempts", 5)


@contextmanager
def running(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "hyperstyle_deploy", "batch", "run", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        yield process


def states(folder: Path) -> dict[int, int]:
    found = dict.fromkeys(range(4), 0)
    if (folder / "ledger.sqlite").exists():
        with Ledger(folder / "ledger.sqlite") as ledger:
            for each in ledger.counts():
                found[each.state] += each.photos
    return found


def wait_for_photos(folder: Path, count: int) -> None:
    end = time.monotonic() + 300
    while states(folder)[DONE] < count:
        assert time.monotonic() < end
        time.sleep(0.05)


def actors(folder: Path) -> list[psutil.Process]:
    """The processes of the workers that the ledger has."""
    with Ledger(folder / "ledger.sqlite") as ledger:
        found = [number for (number,) in ledger.database.execute("SELECT process FROM workers")]
    return [psutil.Process(number) for number in found if psutil.pid_exists(number)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, *(f"{number}.png" for number in range(COUNT)))
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, toys: Callable[..., Path], photos: Path) -> dict[str, bytes]:
    """Of the workers without Ray."""
    folder = tmp_path_factory.mktemp("clean")
    with running(toys(), photos, "-o", folder, *SETTINGS) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    return results_in(folder)


def test_an_actor_that_is_killed_and_photos_that_cannot_be_read(
    toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.jpg").write_bytes(b"no picture")
    with running(toys(), photos, tmp_path / "bad", "-o", tmp_path / "out", *SETTINGS, "--ray", "local") as process:
        wait_for_photos(tmp_path / "out", 4)
        actors(tmp_path / "out")[0].kill()
        said, errors = process.communicate(timeout=400)
    assert process.returncode == 1, errors
    assert states(tmp_path / "out") == {0: 0, 1: 0, DONE: COUNT, FAILED: 1}
    assert "ImageError" in said
    assert results_in(tmp_path / "out") == clean


def test_who_drives_is_killed(toys: Callable[..., Path], photos: Path, clean: dict[str, bytes], tmp_path: Path) -> None:
    command = (toys(), photos, "-o", tmp_path / "out", *SETTINGS)
    with running(*command, "--ray", "local") as process:
        wait_for_photos(tmp_path / "out", 4)
        crew = actors(tmp_path / "out")
        process.kill()
    assert psutil.wait_procs(crew, 60)[1] == []
    with running(*command, "--json") as process:  # what Ray began goes on without it
        said, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert json.loads(said)["states"]["done"] == COUNT
    assert results_in(tmp_path / "out") == clean


def test_told_to_stop_it_gives_photos_back(toys: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    with running(toys(), photos, "-o", tmp_path / "out", *SETTINGS, "--ray", "local") as process:
        wait_for_photos(tmp_path / "out", 2)
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=400)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert states(tmp_path / "out")[1] == 0
    with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
        assert {row.attempts for row in ledger.rows() if row.state != DONE} == {0}
        assert ledger.value("SELECT count(*) FROM workers") == 0
