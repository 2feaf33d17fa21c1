"""Photos that cannot be read, kill their worker, hang, eat memory: each one record, and the others as ever."""

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from hyperstyle_deploy.errors import BatchError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.serving.bulk import supervisor
from hyperstyle_deploy.runtime.serving.bulk.audit import audit
from hyperstyle_deploy.runtime.serving.bulk.ledger import DONE, FAILED, WAITING, Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import Entry, Recipe
from hyperstyle_deploy.runtime.serving.bulk.supervisor import Supervisor
from hyperstyle_deploy.runtime.serving.bulk.worker import Job, attempt, invert_entry
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.batch_faults import EATEN, FULL, open_dying, open_on_full_disk, open_slow, open_with_faults
from hyperstyle_deploy.tests.unit.runtime.bulk.conftest import recipe_for, results_in, write_photos

GOOD = ("a.png", "b.png", "c.png", "d.png")


def job_of(ledger: Ledger, bundle: Path, **changes: object) -> Job:
    loading = {"backend": "onnxruntime", "threads": 1}
    return Job(ledger.path, bundle, loading, **{"attempts": 2, "deadline": 60.0, **changes})  # type: ignore[arg-type]


def run(ledger: Ledger, job: Job, photos: list[Path], workers: int = 2) -> dict[str, tuple[int, int, str | None]]:
    """State, attempts and error of every photo."""
    sum(ledger.add(os.fsencode(photo) for photo in photos))
    Supervisor(ledger, job, workers).run()
    return {row.entry.photo.name: (row.state, row.attempts, row.error) for row in ledger.rows()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good photos; others may be put there."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, *GOOD)
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, toys: Callable[..., Path], photos: Path) -> dict[str, bytes]:
    """The results of the good photos when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("clean")
    with Ledger.start(folder / "ledger.sqlite", recipe_for(toys())) as own:
        found = run(own, job_of(own, toys()), good(photos))
    assert set(found.values()) == {(DONE, 1, None)}
    return results_in(folder)


def good(photos: Path) -> list[Path]:
    return [photos / name for name in GOOD]


def test_a_photo_costs_one_record(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path, clean: dict[str, bytes]
) -> None:
    bad = ("kills.png", "hangs.png", "eats.png", "raises.png", "leaves.png")
    all_of_them = [*write_photos(tmp_path / "bad", *bad), *good(photos)]
    (tmp_path / "bad" / "broken.jpg").write_bytes(b"no picture")
    all_of_them += [tmp_path / "bad" / "broken.jpg", tmp_path / "bad" / "missing.jpg"]
    limits = {"deadline": 5.0, "memory": EATEN * 3 // 4, "attempts": 1}
    found = run(ledger, job_of(ledger, toys(), open=open_with_faults, **limits), all_of_them)
    errors = {
        "kills.png": "WorkerDied",
        "hangs.png": "DeadlineExceeded",
        "eats.png": "MemoryExceeded",
        "raises.png": "RuntimeError",
        "leaves.png": "WorkerDied",
        "broken.jpg": "ImageError",
        "missing.jpg": "ImageError",
    }
    expected = {name: (FAILED, 1, error) for name, error in errors.items()}
    assert found == {**expected, **dict.fromkeys(GOOD, (DONE, 1, None))}
    messages = {row.entry.photo.name: row.message for row in ledger.rows(FAILED)}
    assert "signal 9" in str(messages["kills.png"])
    assert "status 3" in str(messages["leaves.png"])
    assert messages["raises.png"] == "a defect \\udcff"
    assert results_in(tmp_path / "out") == clean  # nothing half-written, either


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux alone")
def test_where_memory_runs_out_a_worker_goes_first(tmp_path: Path, toys: Callable[..., Path], ledger: Ledger) -> None:
    """Without `--memory`, too: the kernel ends a worker, which costs a photo, and not who watches."""
    photos = write_photos(tmp_path / "photos", "tells.png")
    run(ledger, job_of(ledger, toys(), open=open_with_faults, attempts=1), photos)
    (row,) = ledger.rows(FAILED)
    assert row.message == "1000"


def test_an_attempt_after_the_other(tmp_path: Path, toys: Callable[..., Path], ledger: Ledger) -> None:
    photos = write_photos(tmp_path / "photos", "raises.png", "kills.png", "a.png")
    found = run(ledger, job_of(ledger, toys(), open=open_with_faults), photos, workers=1)
    assert found == {
        "raises.png": (FAILED, 2, "RuntimeError"),
        "kills.png": (FAILED, 2, "WorkerDied"),
        "a.png": (DONE, 1, None),
    }


def test_results_are_those_of_a_session(
    tmp_path: Path, toys: Callable[..., Path], photos: Path, clean: dict[str, bytes]
) -> None:
    names = sorted(clean)
    assert len(names) == 4 * len(GOOD)
    assert {name.split(".", 1)[1] for name in names} == {"png", "strip.png", "thumbnail.jpg", "inversion"}
    path = tmp_path / "a.inversion"
    path.write_bytes(next(content for name, content in clean.items() if name.endswith(".inversion") and name[0] == "a"))
    expected = load(toys(), backend="onnxruntime", threads=1).invert(photos / "a.png", steps=2)
    assert (Inversion.load(path).codes == expected.codes).all()


def test_results_in_shards_and_of_some_kinds(
    tmp_path: Path, toys: Callable[..., Path], photos: Path, clean: dict[str, bytes]
) -> None:
    (tmp_path / "shards").mkdir()
    recipe = recipe_for(toys(), kinds=("image",), shard=2, folder="../shards")
    (tmp_path / "ledgers").mkdir()
    with Ledger.start(tmp_path / "ledgers" / "ledger.sqlite", recipe) as own:
        run(own, job_of(own, toys()), good(photos))
    found = results_in(tmp_path / "shards")
    assert {Path(name).name: content for name, content in found.items()} == {
        name: content for name, content in clean.items() if name.count(".") == 1 and name.endswith(".png")
    }
    assert all(name.split("/")[0] == name.rpartition("-")[2][:2] for name in found)


def test_results_that_are_gone_are_made_again(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path, clean: dict[str, bytes]
) -> None:
    run(ledger, job_of(ledger, toys()), good(photos))
    paths = sorted((tmp_path / "out").glob(f"?-{20 * '?'}.png"))
    paths[0].unlink()
    paths[1].write_bytes(b"")
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    assert list(audit(ledger, "nothing")) == []
    assert list(audit(ledger, "size")) == [(4, 2)]
    assert list(audit(ledger, "bytes")) == [(2, 1)]
    run(ledger, job_of(ledger, toys()), [])
    assert results_in(tmp_path / "out") == clean


def test_killed_workers_are_replaced(
    tmp_path: Path,
    toys: Callable[..., Path],
    ledger: Ledger,
    photos: Path,
    clean: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever they are at: loading, inverting, or writing to the ledger."""
    monkeypatch.setattr(supervisor, "STARTS", 100)  # it is not the bundle's fault
    stop, killed = threading.Event(), []

    def kill() -> None:
        while not stop.wait(0.7) and len(killed) < 4:
            workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
            if workers:
                workers[0].kill()
                killed.append(workers[0].pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        more = write_photos(tmp_path / "more", *(f"{n}.png" for n in range(24)))
        found = run(ledger, job_of(ledger, toys(), attempts=50, open=open_slow), [*more, *good(photos)])
    finally:
        stop.set()
        killer.join()
    assert killed
    assert {state for state, _, _ in found.values()} == {DONE}
    results = results_in(tmp_path / "out")
    assert len(results) == 4 * len(found)
    assert clean.items() <= results.items()


def test_two_supervisors_share_a_ledger(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path, clean: dict[str, bytes]
) -> None:
    ended: list[str] = []

    def other() -> None:
        with Ledger(ledger.path) as own:
            Supervisor(own, job_of(own, toys()), 1, lambda attempt: ended.append(attempt.entry.name)).run()

    sum(ledger.add(os.fsencode(photo) for photo in good(photos)))
    thread = threading.Thread(target=other)
    thread.start()
    Supervisor(ledger, job_of(ledger, toys()), 1, lambda attempt: ended.append(attempt.entry.name)).run()
    thread.join()
    assert sorted(ended) == sorted({name.split(".")[0] for name in clean})
    assert results_in(tmp_path / "out") == clean


def test_workers_that_do_not_start_end_the_batch(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path
) -> None:
    with pytest.raises(BatchError, match="3 workers in a row"):
        run(ledger, job_of(ledger, toys(), open=open_dying), good(photos))
    with pytest.raises(BatchError, match=r"is not a bundle.* Expected: a folder\. Finished"):
        run(ledger, job_of(ledger, tmp_path / "nowhere"), good(photos))
    assert {(row.state, row.attempts) for row in ledger.rows()} == {(WAITING, 0)}
    assert ledger.value("SELECT count(*) FROM workers") == 0


def test_a_name_that_no_file_can_have_is_no_defect(tmp_path: Path, toys: Callable[..., Path], recipe: Recipe) -> None:
    inverter = partial(invert_entry, load(toys(), backend="onnxruntime", threads=1), recipe, tmp_path)
    outcome = attempt(inverter, Entry(1, b"/photos/a\0b.png", bytes(10)))
    assert (outcome.error, "null byte" in (outcome.message or "")) == ("ImageError", True)


def test_another_model_is_refused(tmp_path: Path, toys: Callable[..., Path], recipe: Recipe, photos: Path) -> None:
    other = dataclasses.replace(recipe, model="f" * 64)
    with Ledger.start(tmp_path / "ledger.sqlite", other) as own, pytest.raises(BatchError, match="another one"):
        run(own, job_of(own, toys()), good(photos))


def test_a_result_that_cannot_be_written_ends_the_batch_and_costs_no_attempt(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path, clean: dict[str, bytes]
) -> None:
    in_the_way = tmp_path / "out" / next(name for name in clean if name.endswith(".strip.png"))
    in_the_way.mkdir()
    with pytest.raises(BatchError, match="a folder or a device of that name"):
        run(ledger, job_of(ledger, toys()), good(photos))
    assert {(row.state, row.attempts) for row in ledger.rows()} <= {(WAITING, 0), (DONE, 1)}
    shutil.rmtree(in_the_way)
    run(ledger, job_of(ledger, toys()), [])
    assert results_in(tmp_path / "out") == clean


def test_on_a_full_disk_no_photo_is_at_fault(
    tmp_path: Path, toys: Callable[..., Path], ledger: Ledger, photos: Path, clean: dict[str, bytes]
) -> None:
    with pytest.raises(BatchError, match=r"Cannot write .* File too large"):
        run(ledger, job_of(ledger, toys(), open=open_on_full_disk), good(photos))
    assert {(row.state, row.attempts) for row in ledger.rows()} == {(WAITING, 0)}
    assert all(len(content) <= FULL for content in results_in(tmp_path / "out").values())
    assert not [name for name in results_in(tmp_path / "out") if "partial" in name]
    run(ledger, job_of(ledger, toys()), [])
    assert results_in(tmp_path / "out") == clean
