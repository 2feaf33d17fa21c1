"""Photos from folders, patterns and lists, and what is wrong with any of them."""

import os
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from hyperstyle_deploy.errors import ImageError
from hyperstyle_deploy.runtime.serving.bulk.listing import MAX_LINE, listed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/b.JPG", "photos/a.png", "photos/sub/c.webp", "photos/notes.md", "photos/out/a-1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def names(folder: Path, *sources: object, column: str = "path") -> list[str]:
    found = listed([str(source) for source in sources], column, folder / "photos" / "out")
    return [os.path.relpath(os.fsdecode(path), folder) for path in found]


def test_folders_have_what_is_below_them_but_the_results(folder: Path) -> None:
    expected = ["photos/a.png", "photos/b.JPG", "photos/sub/c.webp"]
    assert names(folder, folder / "photos") == expected
    assert names(folder, "photos") == expected
    (folder / "photos" / "sub" / "up").symlink_to(folder / "photos")
    assert names(folder, "photos") == expected


def test_patterns_and_photos(folder: Path) -> None:
    assert names(folder, "photos/*.png", "photos/**/*.webp") == ["photos/a.png", "photos/sub/c.webp"]
    (folder / "a[1].png").write_bytes(b"")
    assert names(folder, "a[1].png") == ["a[1].png"]  # a name that is there is no pattern


def test_a_pattern_leaves_the_results_out(folder: Path) -> None:
    assert names(folder, "photos/**/*.png") == ["photos/a.png"]
    (folder / "link").symlink_to(folder / "photos" / "out")
    with pytest.raises(ImageError, match="outside of the output folder"):
        names(folder, "link/*.png")
    # A folder that is named and lies below the output folder is meant, with or without a pattern.
    assert len(list(listed(["photos/*.png"], "path", folder))) == len(list(listed(["photos/sub"], "path", folder))) == 1


def test_a_name_of_nothing_is_not_the_current_folder(folder: Path) -> None:
    with pytest.raises(ImageError, match="There is no"):
        names(folder, "")


def test_lists_are_relative_to_their_folder(folder: Path) -> None:
    text = folder / "photos" / "list.txt"
    text.write_bytes("\ufeffa.png\r\n\n/elsewhere/x y.jpg \nsub/../b.JPG\n".encode() + b"\xff.png")
    there = ["photos/a.png", os.path.relpath("/elsewhere/x y.jpg ", folder), "photos/b.JPG", "photos/\udcff.png"]
    assert names(folder, text) == there
    table = folder / "photos" / "list.csv"
    table.write_text('id,file\n1,a.png\n2,"sub/c, d.webp"\n3,\n')
    assert names(folder, table, column="file") == ["photos/a.png", "photos/sub/c, d.webp"]


def test_parquet_lists(folder: Path) -> None:
    path = folder / "photos" / "list.parquet"
    parquet.write_table(pyarrow.table({"path": ["a.png", None, "sub/ä.webp"], "n": [1, 2, 3]}), path)
    assert names(folder, path) == ["photos/a.png", "photos/sub/ä.webp"]
    parquet.write_table(pyarrow.table({"path": pyarrow.array([b"\xff.png"], pyarrow.binary())}), path)
    assert names(folder, path) == ["photos/\udcff.png"]
    with pytest.raises(ImageError, match="no column where"):
        names(folder, path, column="where")
    parquet.write_table(pyarrow.table({"path": [1]}), path)
    with pytest.raises(ImageError, match="Cannot read the list"):
        names(folder, path)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("empty.txt", b"\n\n", "No photos in"),
        ("long.txt", b"x" * (MAX_LINE + 1), "no list of paths"),
        ("windows.txt", "a.png\n".encode("utf-16"), "zero byte"),
        ("print0.txt", b"a.png\0b.JPG\0", "zero byte"),
        ("other.csv", b"file\na.png\n", "no column path"),
        ("empty.csv", b"", "no column path"),
        ("long.csv", b"path\n" + b"x" * 200_000 + b"\n", "Cannot read the list"),
        ("text.parquet", b"path\na.png\n", "Cannot read the list"),
    ],
)
def test_lists_that_are_none(folder: Path, name: str, content: bytes, what: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ImageError, match=what):
        names(folder, name)


def test_what_is_not_there(folder: Path) -> None:
    (folder / "none").mkdir()
    os.mkfifo(folder / "pipe.txt")
    for source, what in (
        ("nowhere", "There is no"),
        ("*.bmp", "No photos"),
        ("none", "No photos"),
        ("pipe.txt", "plain"),
    ):
        with pytest.raises(ImageError, match=what):
            names(folder, "photos", source)
