"""The ledger: every photo one row and one worker, whatever comes together; counts, retries, foreign files."""

import dataclasses
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hyperstyle_deploy.errors import BatchError
from hyperstyle_deploy.runtime.serving.bulk import ledger as ledger_module
from hyperstyle_deploy.runtime.serving.bulk.document import ledger_document
from hyperstyle_deploy.runtime.serving.bulk.ledger import DONE, FAILED, RUNNING, WAITING, Ledger
from hyperstyle_deploy.runtime.serving.bulk.recipe import Entry, Recipe, identity_of
from hyperstyle_deploy.runtime.serving.bulk.roster import HOST, Outcome, ProcessKey, Roster

GOOD = Outcome(0.25, sha256=bytes(32), steps=2, l2=0.5, size=10, digest=bytes(16))
BAD = Outcome(0.5, "ImageError", "Cannot read it.")


def add(ledger: Ledger, count: int, start: int = 0) -> int:
    return sum(ledger.add(b"/photos/%06d.jpg" % number for number in range(start, start + count)))


def states(ledger: Ledger) -> dict[int, int]:
    found = dict.fromkeys(range(4), 0)
    for each in ledger.counts():
        found[each.state] += each.photos
    return found


def test_a_photo_is_added_once(ledger: Ledger) -> None:
    assert add(ledger, 30_000) == 30_000
    assert add(ledger, 30_010) == 10
    assert states(ledger)[WAITING] == 30_010
    assert [row.entry.path for row in ledger.rows()][:2] == [b"/photos/000000.jpg", b"/photos/000001.jpg"]


def test_a_row_takes_at_most_300_bytes(ledger: Ledger, tmp_path: Path) -> None:
    """With everything filled in, a path of 70 characters, and one photo of a hundred that failed."""
    count = 20_000
    sum(ledger.add(b"/data/sets/faces/images1024x1024/part-%04d/" % (n % 100) + b"%027d" % n for n in range(count)))
    roster = Roster(ledger, 1, 60)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    for entry in roster.take(worker, count):
        number = entry.number
        assert len(entry.path) == 70
        outcome = BAD if number % 100 == 0 else dataclasses.replace(GOOD, sha256=os.urandom(32), digest=os.urandom(16))
        with_size = dataclasses.replace(outcome, size=70_000 + number, seconds=2.5)
        ledger.database.execute("BEGIN") if not ledger.database.in_transaction else None
        roster.end(worker, number, with_size)
    ledger.database.execute("COMMIT")
    ledger.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert ledger.path.stat().st_size / count < 300


def test_attempts_are_counted_until_they_are_used_up(ledger: Ledger) -> None:
    add(ledger, 2)
    roster = Roster(ledger, 2, 60)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    (first,) = roster.take(worker)
    assert states(ledger)[RUNNING] == 1
    assert roster.finish(worker, first, BAD) == WAITING
    (second,) = roster.take(worker)
    assert second.number != first.number  # what never failed comes first
    assert roster.finish(worker, second, GOOD) == DONE
    (again,) = roster.take(worker)
    assert again == first
    assert roster.finish(worker, again, BAD) == FAILED
    assert roster.take(worker) == []
    assert not ledger.unfinished()
    failed, done = sorted(ledger.rows(), key=lambda row: row.entry != first)
    assert (failed.error, failed.message, failed.attempts) == ("ImageError", "Cannot read it.", 2)
    assert (done.error, done.message, done.l2, done.size) == (None, None, 0.5, 10)


def test_retry_gives_all_attempts_back(ledger: Ledger) -> None:
    add(ledger, 3)
    roster = Roster(ledger, 1, 60)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    for entry, outcome in zip(roster.take(worker, 3), (BAD, Outcome(error="WorkerDied"), GOOD), strict=True):
        roster.finish(worker, entry, outcome)
    assert ledger.retry("NoSuchError") == 0
    assert ledger.retry("WorkerDied") == 1
    assert states(ledger) == {WAITING: 1, RUNNING: 0, DONE: 1, FAILED: 1}
    assert ledger.retry() == 1
    (first, _) = roster.take(worker, 5)
    assert roster.finish(worker, first, GOOD) == DONE
    assert next(row for row in ledger.rows() if row.entry == first).message is None


def test_what_a_dismissed_worker_had_comes_back(ledger: Ledger) -> None:
    add(ledger, 3)
    roster = Roster(ledger, 2, 60)
    worker, other = roster.enlist(ProcessKey.of(os.getpid())), roster.enlist(ProcessKey.of(os.getpid()))
    first, second = roster.take(worker, 2)
    roster.take(other)
    assert roster.dismiss(worker, None) == []
    assert ledger.waiting(5) == [first, second]
    assert {row.attempts for row in ledger.rows(WAITING)} == {0}
    assert states(ledger)[RUNNING] == 1
    # What it says later is not heard.
    assert roster.finish(worker, first, GOOD) == WAITING


def test_the_dead_are_known(ledger: Ledger) -> None:
    roster = Roster(ledger, 1, 60)
    alive = roster.enlist(ProcessKey.of(os.getpid()))
    created = psutil.Process().create_time()
    rows = [
        (HOST, os.getpid(), created - 100, 1e12),  # another process of that number
        (HOST, 2**22 + 1, created, 1e12),  # no process
        ("elsewhere", 1, 0, 1e12),  # its lease has not run out
        ("elsewhere", 1, 0, 1),
    ]
    command = "INSERT INTO workers (host, process, created, expires) VALUES (?, ?, ?, ?)"
    ledger.database.executemany(command, rows)
    assert [member.is_alive() for member in roster.members()] == [True, False, False, True, False]
    assert roster.members()[0].id == alive


def test_many_takers_never_share_a_photo(ledger: Ledger) -> None:
    add(ledger, 400)

    def taker(_: int) -> list[int]:
        with Ledger(ledger.path) as own:
            roster = Roster(own, 1, 60)
            worker, taken = roster.enlist(ProcessKey.of(os.getpid())), []
            while entries := roster.take(worker):
                roster.finish(worker, entries[0], GOOD)
                taken.append(entries[0].number)
            return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [number for numbers in pool.map(taker, range(4)) for number in numbers]
    assert sorted(taken) == list(range(1, 401))
    assert states(ledger)[DONE] == 400


def test_two_runs_that_begin_at_once_make_one_ledger(tmp_path: Path, recipe: Recipe) -> None:
    def begin(number: int) -> int:
        with Ledger.start(tmp_path / "ledger.sqlite", recipe) as own:
            return add(own, 100)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(begin, range(4))) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_other_settings_are_refused(ledger: Ledger, recipe: Recipe) -> None:
    changes = {
        "Got: --steps 3. Expected: --steps 2": {"steps": 3},
        "the model other": {"model": "other"},
        "Got: --write image. Expected: --write inversion,image,strip,thumbnail": {"kinds": ("image",)},
        "the output folder elsewhere": {"folder": "elsewhere"},
        "Expected: --until-gain left out": {"until_gain": 0.1},
        "--thumbnail-size 32": {"thumbnail": 32},
    }
    for said, change in changes.items():
        with pytest.raises(BatchError, match=said):
            Ledger.start(ledger.path, dataclasses.replace(recipe, **change))  # type: ignore[arg-type]
    Ledger.start(ledger.path, recipe)


def test_settings_that_change_no_result_may_differ(recipe: Recipe) -> None:
    began = dataclasses.replace(recipe, kinds=("inversion", "image"))
    dataclasses.replace(began, kinds=("image", "inversion"), thumbnail=32).check(began)


NO_LEDGERS = {
    "nothing": "There is no ledger",
    "text": "damaged, or no ledger",
    "a table": "is no ledger. Got: another database",
    "version": "of another version. Got: 9. Expected: 1",
    "settings": "settings cannot be read",
    "folder": "There is no ledger",
}


@pytest.mark.parametrize("kind", NO_LEDGERS)
def test_what_is_no_ledger_is_refused(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    path = tmp_path / "ledger.sqlite"
    if kind == "text":
        path.write_text("not a ledger" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "a table":
        sqlite3.connect(path).execute("CREATE TABLE photos (number)")
    elif kind != "nothing":
        Ledger.start(path, recipe).database.close()
        change = {"version": "PRAGMA user_version = 9", "settings": "UPDATE recipe SET document = '{\"steps\": 1}'"}
        with sqlite3.connect(path) as database:
            database.execute(change[kind])
    with pytest.raises(BatchError, match=NO_LEDGERS[kind]):
        Ledger(path)


def test_a_ledger_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A log that is begun and cannot be written, as on a full disk: SQLite leaves it, and its index, beside the file.
    def fill(path: Path, _: Recipe) -> None:
        for beside in ("", "-wal", "-shm"):
            path.with_name(path.name + beside).write_bytes(b"")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(ledger_module, "_write_empty", fill)
    with pytest.raises(BatchError, match="Cannot make the ledger"):
        Ledger.start(tmp_path / "ledger.sqlite", recipe)
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def interrupted() -> None:
        with ledger.writing() as database:
            database.execute("INSERT INTO photos (path, identity) VALUES (x'00', x'00')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sum(states(ledger).values()) == 0
    with pytest.raises(BatchError, match="local"), ledger.writing() as database:
        database.execute("INSERT INTO nowhere VALUES (1)")


def test_names_are_plain_and_their_own() -> None:
    paths = [b"/a/photo.jpg", b"/b/photo.jpg", b"/a/\xff\x1b[2J.png", b"/a/.hidden", b"/a/" + b"x" * 250 + b".jpg"]
    names = [Entry(0, path, identity_of(path)).name for path in paths]
    assert len(set(names)) == 5
    assert names[0].startswith("photo-")
    assert all(name.isascii() and name.isprintable() and len(name) <= 61 and name[0] != "." for name in names)


def test_the_document_tells_rate_and_time_left(ledger: Ledger) -> None:
    add(ledger, 10)
    roster = Roster(ledger, 2, 60)
    worker = roster.enlist(ProcessKey.of(os.getpid()))
    assert ledger_document(ledger)["seconds_left"] is None
    for entry, outcome in zip(roster.take(worker, 4), (GOOD, GOOD, GOOD, BAD), strict=True):
        roster.finish(worker, entry, outcome)
    ledger.database.execute("UPDATE workers SET since = since - 2")
    document = ledger_document(ledger)
    assert document["states"] == {"waiting": 7, "running": 0, "done": 3, "failed": 0}
    assert document["errors"] == {"failed": {}, "waiting": {"ImageError": 1}}
    assert document["seconds"] == 0.75
    assert document["photos_per_second"] == pytest.approx(2, rel=0.2)
    assert document["seconds_left"] == pytest.approx(3.5, abs=1)


def test_a_ledger_of_before_further_generators_is_read(recipe: Recipe) -> None:
    document = json.loads(recipe.to_json())
    del document["generator"]
    assert Recipe.from_json(json.dumps(document)) == recipe
