"""Paths that stay inside their folder, and files that are whole or not there, whatever happens during the writing."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hyperstyle_deploy.errors import BundleError, OutputError
from hyperstyle_deploy.runtime.bundle.files import atomic_directory, atomic_file, inside, sha256_of, sha256_of_all

_KILLED_MIDWAY = """
import sys, time
from pathlib import Path
from hyperstyle_deploy.runtime.bundle.files import atomic_directory, atomic_file
path = Path(sys.argv[2])
if sys.argv[1] == "file":
    with atomic_file(path) as partial:
        partial.write_text("half")
        print("writing", flush=True)
        time.sleep(60)
with atomic_directory(path, overwrite=True) as folder:
    (folder / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file, a file below it, and links of every kind; a secret lies beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "file").write_text("file")
    (root / "sub" / "file").write_text("file")
    (root / "link").symlink_to("file")
    (root / "link_out").symlink_to("../secret")
    (root / "linked_sub").symlink_to("sub")
    (root / "linked_out").symlink_to("..")
    (root / "dangling").symlink_to("nowhere")
    (root / "hard").hardlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize("name", ["file", "sub/file", "./sub//file"])
def test_inside_gives_a_plain_file_below_the_root(root: Path, name: str) -> None:
    path = inside(root, name)
    assert path.read_text() == "file"
    assert path.resolve().is_relative_to(root.resolve())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "leaves the bundle"),
        ("/etc/hostname", "leaves the bundle"),
        ("//etc/hostname", "leaves the bundle"),
        ("../secret", "leaves the bundle"),
        ("sub/../../secret", "leaves the bundle"),
        ("sub/../file", "leaves the bundle"),
        ("..", "leaves the bundle"),
        ("file\0", "leaves the bundle"),
        ("..\\secret", "leaves the bundle"),
        ("C:secret", "leaves the bundle"),
        ("file:stream", "leaves the bundle"),
        ("link", "symbolic link"),
        ("link_out", "symbolic link"),
        ("linked_sub/file", "symbolic link"),
        ("linked_out/secret", "symbolic link"),
        ("dangling", "symbolic link"),
        ("hard", "not a plain file"),
        ("sub", "not a plain file"),
        (".", "not a plain file"),
        ("pipe", "not a plain file"),
        ("missing", "missing"),
        ("file/below", "missing"),
        ("n" * 5000, "missing"),
        ("\ud800", "missing"),
    ],
)
def test_inside_refuses_everything_else(root: Path, name: str, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        inside(root, name)


def test_an_unsafe_name_is_printable_in_the_error(root: Path) -> None:
    with pytest.raises(BundleError) as caught:
        inside(root, "\x1b[2Jmissing\udcff")
    assert str(caught.value).isprintable()
    str(caught.value).encode()


@contextmanager
def file_of(path: Path, text: str) -> Iterator[None]:
    with atomic_file(path) as partial:
        partial.write_text(text)
        yield


@contextmanager
def folder_of(path: Path, text: str) -> Iterator[None]:
    with atomic_directory(path, overwrite=True) as folder:
        (folder / "content").write_text(text)
        yield


def content(path: Path) -> str:
    return (path / "content" if path.is_dir() else path).read_text()


Writer = Callable[[Path, str], AbstractContextManager[None]]
both = pytest.mark.parametrize("writer", [file_of, folder_of])


@both
@pytest.mark.parametrize("name", ["out", "out[1]*?.x", "ünïcode ☃"])
def test_output_appears_whole_at_the_end_and_replaces_the_old_one(tmp_path: Path, writer: Writer, name: str) -> None:
    path = tmp_path / name
    with writer(path, "first"):
        assert not path.exists()
    assert content(path) == "first"
    with writer(path, "second"):
        assert content(path) == "first"
    assert content(path) == "second"
    assert names(tmp_path) == [name]


@both
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failing_block_leaves_the_old_output_alone(
    tmp_path: Path, writer: Writer, failure: type[BaseException]
) -> None:
    with writer(tmp_path / "out", "old"):
        pass
    with pytest.raises(failure), writer(tmp_path / "out", "new"):
        raise failure
    assert content(tmp_path / "out") == "old"
    assert names(tmp_path) == ["out"]


@both
def test_a_failing_block_leaves_nothing_where_nothing_was(tmp_path: Path, writer: Writer) -> None:
    with pytest.raises(OutputError, match="No space left"), writer(tmp_path / "out", "new"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


@both
def test_two_writers_of_one_path_do_not_disturb_each_other(tmp_path: Path, writer: Writer) -> None:
    with writer(tmp_path / "out", "slow"):
        with writer(tmp_path / "out", "quick"):
            pass
        assert content(tmp_path / "out") == "quick"
    assert content(tmp_path / "out") == "slow"
    assert names(tmp_path) == ["out"]


@both
@pytest.mark.parametrize("name", ["file/below", "file/below/more", "n" * 300])
def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path, writer: Writer, name: str) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="Cannot write") as caught, writer(tmp_path / name, "text"):
        pass
    assert "permissions" in str(caught.value)
    assert names(tmp_path) == ["file"]


@both
@pytest.mark.parametrize("path", [Path(), Path("/")])
def test_a_path_without_a_name_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Writer, path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError), writer(path, "text"):
        pytest.fail("the block ran")


def test_atomic_file_in_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"), file_of(tmp_path / "missing" / "out", "text"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_atomic_file_replaces_nothing_but_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OutputError, match="a folder or a device"), atomic_file(path):
        pytest.fail("the block ran")
    assert path.is_dir() or path.is_fifo()


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_atomic_directory_replaces_nothing_but_folders(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    path.write_text("a thesis") if kind == "file" else os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(OutputError, match="a file or a device"), atomic_directory(path, overwrite=True):
        pytest.fail("the block ran")
    assert path.lstat() == before


def test_atomic_directory_makes_its_parents(tmp_path: Path) -> None:
    with folder_of(tmp_path / "a" / "b" / "out", "text"):
        pass
    assert content(tmp_path / "a" / "b" / "out") == "text"


@pytest.mark.parametrize("kind", ["folder", "empty folder", "link to a folder"])
def test_atomic_directory_replaces_an_existing_output_only_when_told_to(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "content").write_text("kept")
    if kind == "link to a folder":
        path.symlink_to(elsewhere)
    else:
        path.mkdir()
    if kind == "folder":
        (path / "content").write_text("old")
    before = path.lstat()
    with pytest.raises(OutputError, match="--overwrite"), atomic_directory(path):
        pytest.fail("the block ran")
    assert path.lstat() == before
    with folder_of(path, "new"):
        pass
    assert content(path) == "new"
    assert not path.is_symlink()
    assert content(elsewhere) == "kept"
    assert names(tmp_path) == ["elsewhere", "out"]


def test_the_old_output_comes_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    with folder_of(tmp_path / "out", "old"):
        pass
    with pytest.raises(OutputError), atomic_directory(tmp_path / "out", overwrite=True) as folder:
        folder.rmdir()
    assert content(tmp_path / "out") == "old"
    assert names(tmp_path) == ["out"]


@pytest.fixture(scope="module")
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", ["out", "out[1]"])
@pytest.mark.parametrize("kind", ["folder", "old folder", "old file"])
@pytest.mark.parametrize("owner", ["dead", "an earlier process of this number", "no process can have this number"])
def test_what_a_dead_process_left_behind_is_removed(
    tmp_path: Path, dead_process: int, owner: str, kind: str, name: str
) -> None:
    number = {"dead": dead_process, "an earlier process of this number": os.getpid()}.get(owner, 10**30)
    leftover = tmp_path / f".{name}.partial-00000000-0-{number}{'-old' if 'old' in kind.split() else ''}"
    if kind == "old file":
        leftover.write_text("half")
    else:
        leftover.mkdir()
        (leftover / "half").write_text("half")
    with folder_of(tmp_path / name, "text"):
        pass
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("leftover", [".out.partial-0-0-{parent}", ".out.partial-mine", ".out2.partial-0-0-{dead}"])
def test_what_is_not_known_to_be_dead_is_kept(tmp_path: Path, dead_process: int, leftover: str) -> None:
    kept = tmp_path / leftover.format(parent=os.getppid(), dead=dead_process)
    kept.mkdir()
    with folder_of(tmp_path / "out", "text"):
        pass
    assert names(tmp_path) == sorted([kept.name, "out"])


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("before", ["nothing", "old"])
def test_kill_in_the_middle_leaves_nothing_or_the_old_output(tmp_path: Path, kind: str, before: str) -> None:
    path, writer = tmp_path / "out", file_of if kind == "file" else folder_of
    if before == "old":
        with writer(path, "old"):
            pass
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED_MIDWAY, kind, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert len(names(tmp_path)) == (2 if before == "old" else 1)  # what it wrote is there under a partial name
    assert content(path) == "old" if before == "old" else not path.exists()
    with writer(path, "new"):
        pass
    assert content(path) == "new"


@pytest.mark.parametrize(
    "code",
    [
        "from hyperstyle_deploy.runtime.bundle.files import atomic_file\n"
        "with atomic_file(path) as partial:\n    partial.write_bytes(bytes(100_000))",
        "from hyperstyle_deploy.runtime.bundle.files import atomic_directory\n"
        "with atomic_directory(path) as folder:\n    (folder / 'file').write_bytes(bytes(100_000))",
    ],
    ids=["file", "folder"],
)
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    on_small_disk: Callable[[str, str], tuple[str, list[str]]], code: str
) -> None:
    error, left = on_small_disk(code, "out")
    assert "Cannot write" in error
    assert "Check free space" in error
    assert left == []


def test_sha256_of_files_is_hashlibs(tmp_path: Path) -> None:
    contents = {"empty": b"", "small": b"abc", "chunk": bytes(1 << 20), "more": bytes(range(256)) * 5000}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    expected = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    paths = {name: tmp_path / name for name in contents}
    assert {name: sha256_of(path) for name, path in paths.items()} == expected
    assert sha256_of_all(paths) == expected


def test_sha256_of_no_files_is_nothing() -> None:
    assert sha256_of_all({}) == {}
