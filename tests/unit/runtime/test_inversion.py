"""Inversion files: what is saved comes back, and nothing but a whole inversion of this version is read."""

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from hyperstyle_deploy.errors import InversionError, OutputError
from hyperstyle_deploy.runtime.bundle.inversion import FORMAT, Inversion
from hyperstyle_deploy.tests.hostile_inversions import HostileFile, hostile_inversions, sound_inversion, with_header


def inversion(styles: int = 18, offset_shape: tuple[int, ...] | None = (17, 512), steps: int = 5) -> Inversion:
    noise = np.random.default_rng(0)
    shapes = {"codes": (styles, 512), **({"offset_codes": offset_shape} if offset_shape else {})}
    return Inversion(
        {name: noise.standard_normal(shape, np.float32) for name, shape in shapes.items()},
        steps,
        "hyperstyle" if offset_shape else "e4e",
        "a" * 64,
        tuple(1 / (1 + step) for step in range(steps + 1)),
        np.zeros((8, 8, 3), np.uint8),
        {"file": "me.jpg", "note": "ünïcode ☃"},
    )


def plain(codes: np.ndarray, offset_codes: np.ndarray) -> Inversion:
    return Inversion({"codes": codes, "offset_codes": offset_codes}, 5, "hyperstyle", "m")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    inversion().save(tmp_path / "saved.inversion")
    return tmp_path / "saved.inversion"


@pytest.mark.parametrize(
    ("styles", "offset_shape", "steps"),
    [(18, (17, 512), 5), (14, (12, 512), 1), (14, (12, 512), 0), (18, (5, 17, 512), 5), (16, None, 0)],
    ids=["affine", "one step", "no step", "separable", "codes alone"],
)
def test_what_is_saved_comes_back(
    tmp_path: Path, styles: int, offset_shape: tuple[int, ...] | None, steps: int
) -> None:
    first = inversion(styles, offset_shape, steps)
    first.save(str(tmp_path / "x"))
    second = Inversion.load(str(tmp_path / "x"))
    assert set(second.arrays) == set(first.arrays)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], array, strict=True)
    assert (second.steps, second.model, second.l2) == (first.steps, first.model, first.l2)
    assert (second.method, second.source) == (first.method, first.source)
    assert second.image is None


def test_arrays_that_are_views_come_back_the_same(tmp_path: Path) -> None:
    whole = inversion(offset_shape=(17, 512))
    view = plain(whole.codes[::-1], np.asfortranarray(whole.offset_codes))
    view.save(tmp_path / "x")
    again = Inversion.load(tmp_path / "x")
    np.testing.assert_array_equal(again.codes, whole.codes[::-1])
    np.testing.assert_array_equal(again.offset_codes, whole.offset_codes)
    assert again.l2 == ()


def test_a_file_of_the_first_version_is_told_apart(saved: Path) -> None:
    edited = with_header(saved.read_bytes(), lambda header: header["__metadata__"].update(version="1"))
    saved.write_bytes(edited)
    with pytest.raises(InversionError, match=r"Got: .* 1\. Expected: .* 2\. Invert the photo again"):
        Inversion.load(saved)


def test_a_file_at_1024_takes_about_70_kilobytes(saved: Path) -> None:
    assert 70_000 < saved.stat().st_size < 75_000


def test_the_file_is_safetensors_that_anyone_can_read(saved: Path) -> None:
    with safe_open(saved, framework="numpy") as file:
        assert set(file.keys()) == {"codes", "offset_codes", "l2"}
        assert file.metadata()["format"] == FORMAT


def test_the_file_has_the_usual_permissions(saved: Path) -> None:
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


def test_the_file_that_hostile_ones_are_made_from_is_sound(saved: Path) -> None:
    saved.write_bytes(sound_inversion())
    assert Inversion.load(saved).steps == 5


@pytest.mark.parametrize("hostile", [pytest.param(case, id=case.name) for case in hostile_inversions()])
def test_a_hostile_inversion_is_refused(saved: Path, hostile: HostileFile) -> None:
    saved.write_bytes(hostile.content)
    with pytest.raises(InversionError, match=hostile.match):
        Inversion.load(saved)


@pytest.mark.parametrize("name", ["missing", ".", "n" * 5000, "with\0nul", "\ud800"])
def test_what_is_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InversionError, match="Cannot read the inversion"):
        Inversion.load(f"{tmp_path}/{name}")


class Payload:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pickle-was-run",)


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_bytes(pickle.dumps(Payload()))
    np.savez("y", codes=np.array([Payload()], object))
    for name in ("x", "y.npz"):
        with pytest.raises(InversionError):
            Inversion.load(name)
    assert not Path("pickle-was-run").exists()


@pytest.mark.parametrize(
    "codes",
    [np.zeros((18, 512)), np.zeros((18, 512), np.float16), np.full((18, 512), np.nan, np.float32)],
    ids=["float64", "float16", "nan"],
)
def test_what_could_not_be_read_back_is_not_saved(saved: Path, codes: np.ndarray) -> None:
    before = saved.read_bytes()
    with pytest.raises(InversionError):
        plain(codes, np.zeros((17, 512), np.float32)).save(saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("name", ["missing/x", "saved.inversion/x", ".", "n" * 300])
def test_a_place_that_cannot_be_written_is_an_output_error(saved: Path, name: str) -> None:
    before = saved.read_bytes()
    with pytest.raises(OutputError, match="Cannot write"):
        inversion().save(saved.parent / name)
    assert [file.name for file in saved.parent.iterdir()] == ["saved.inversion"]
    assert saved.read_bytes() == before


def test_a_full_disk_is_an_output_error_and_leaves_nothing(
    on_small_disk: Callable[[str, str], tuple[str, list[str]]],
) -> None:
    code = (
        "import numpy as np\n"
        "from hyperstyle_deploy.runtime.bundle.inversion import Inversion\n"
        "Inversion({'codes': np.zeros((18, 512), np.float32)}, 0, 'e4e', 'm').save(path)"
    )
    error, left = on_small_disk(code, "x.inversion")
    assert "Cannot write" in error
    assert left == []


def test_equal_inversions_are_equal_files(tmp_path: Path) -> None:
    one = inversion(offset_shape=(17, 512))
    source = {f"key {index}": "x" for index in range(9)}
    contents = set()
    for index in range(5):
        dataclasses.replace(one, source=dict(sorted(source.items(), reverse=index % 2 == 0))).save(tmp_path / "x")
        contents.add((tmp_path / "x").read_bytes())
    assert len(contents) == 1
    assert Inversion.load(tmp_path / "x").source == source


def test_a_pipe_is_no_inversion(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InversionError, match="no plain file"):
        Inversion.load(tmp_path / "pipe")


@pytest.mark.parametrize("size", [1 << 40, 129 << 20])
def test_a_file_larger_than_any_inversion_is_refused_unread(tmp_path: Path, size: int) -> None:
    (tmp_path / "x").touch()
    os.truncate(tmp_path / "x", size)
    with pytest.raises(InversionError, match="where 9 to 134217728 are possible"):
        Inversion.load(tmp_path / "x")
