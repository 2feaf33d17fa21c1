"""Direction files and the folder of a bundle: what is saved comes back, nothing damaged or foreign is read."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import DirectionError, OutputError
from hyperstyle_deploy.runtime.bundle.reader import Bundle, read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.tests.hostile_directions import hostile_directions
from hyperstyle_deploy.tests.hostile_inversions import split
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import colour, smile, unit
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run

MODEL = "0" * 64


def check_equal(found: Direction, expected: Direction) -> None:
    for name in ("name", "rows", "strengths", "model", "source", "kind"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("vector", "mean", "deviation"):
        got, wanted = getattr(found, name), getattr(expected, name)
        assert (got is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_array_equal(got, wanted, strict=True)


@pytest.mark.parametrize(
    "direction",
    [
        smile(MODEL),
        colour(MODEL),
        Direction("x-1", unit(3, WIDTH), (1, 4), (-0.1, 1e-30), MODEL),
        Direction("view", unit(6, WIDTH)[::2], (0, 3), (0, 1), MODEL),
    ],
    ids=lambda direction: direction.name,
)
def test_what_is_saved_comes_back(tmp_path: Path, direction: Direction) -> None:
    direction.save(tmp_path / "x")
    check_equal(Direction.load(tmp_path / "x"), direction)
    first = (tmp_path / "x").read_bytes()
    direction.save(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": "../x"}, "No direction can have this name"),
        ({"name": ""}, "No direction can have this name"),
        ({"rows": (3, 3)}, "moves no rows"),
        ({"strengths": (1, 1)}, "no range of strengths"),
        ({"strengths": (0, float("inf"))}, "no range of strengths"),
        ({"vector": np.zeros((1, WIDTH), np.float32)}, "moves nothing"),
        ({"vector": np.full((1, WIDTH), np.nan, np.float32)}, "vector has NaN or Inf"),
        ({"vector": unit(2, WIDTH)}, "vector is wrong. Got: float32 .2, 8.. Expected: float32 .1, 8."),
        ({"vector": unit(1, WIDTH).astype(np.float64)}, "vector is wrong. Got: float64"),
        ({"mean": unit(1, WIDTH)}, "deviation is wrong. Got: none"),
        ({"mean": unit(1, WIDTH), "deviation": np.zeros(1, np.float32)}, "moves nothing"),
    ],
)
def test_parts_that_do_not_fit_are_not_saved(tmp_path: Path, change: dict, match: str) -> None:
    with pytest.raises(DirectionError, match=match):
        replace(smile(MODEL), **change).save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    for case in hostile_directions(tmp_path):
        (tmp_path / "x").write_bytes(case.content)
        with pytest.raises(DirectionError, match=case.match):
            Direction.load(tmp_path / "x")


def test_what_is_no_file_of_a_direction_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    os.truncate(tmp_path / "x", 9 << 20)
    with pytest.raises(DirectionError, match="bytes, where"):
        Direction.load(tmp_path / "x")
    (tmp_path / "x").unlink()
    os.mkfifo(tmp_path / "x")
    with pytest.raises(DirectionError, match="no plain file"):
        Direction.load(tmp_path / "x")


def test_a_folder_keeps_directions_beside_what_was_exported(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    document = (bundle / "bundle.json").read_bytes()
    folder = Directions(bundle, manifest)
    assert folder.names() == ["colour", "pose", "smile"]
    check_equal(folder.read("colour"), colour(manifest.model))
    Bundle.open(bundle)
    assert (bundle / "bundle.json").read_bytes() == document
    with pytest.raises(DirectionError, match=r"directions of these names\. Got: smile"):
        folder.add([smile(manifest.model, "new"), smile(manifest.model)])
    assert folder.names() == ["colour", "pose", "smile"]
    folder.add([replace(smile(manifest.model), strengths=(0, 1))], overwrite=True)
    assert folder.read("smile").strengths == (0, 1)
    with pytest.raises(DirectionError, match="no direction grin"):
        folder.remove(["smile", "grin"])
    folder.remove(["smile", "pose", "colour", "pose"])
    assert folder.names() == []
    assert not (bundle / "directions").exists()


def test_foreign_directions_are_not_added(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    folder = Directions(bundle, manifest)
    for direction, match in (
        (smile("f" * 64, "new"), "another model"),
        (Direction("new", unit(1, WIDTH + 1), (0, 1), (0, 1), manifest.model), "rows 0:1 of 9 numbers"),
        (Direction("new", unit(1, WIDTH), (0, STYLES + 1), (0, 1), manifest.model), "does not fit the codes"),
    ):
        with pytest.raises(DirectionError, match=match):
            folder.add([direction])
    with pytest.raises(DirectionError, match="Two directions have one name"):
        folder.add([smile(manifest.model, "new")] * 2)
    assert folder.names() == ["colour", "pose", "smile"]


def test_a_folder_of_another_bundle_is_not_read(bundle: Path) -> None:
    manifest = replace(read_manifest(bundle), model="f" * 64)
    with pytest.raises(DirectionError, match=r"another model.*directions import"):
        Directions(bundle, manifest).read("smile")


def test_renamed_and_linked_files_are_not_read(bundle: Path, tmp_path: Path) -> None:
    folder, there = Directions(bundle, read_manifest(bundle)), bundle / "directions"
    shutil.copy(there / "smile.safetensors", there / "grin.safetensors")
    with pytest.raises(DirectionError, match=r"holds another direction\. Got: smile"):
        folder.read("grin")
    (there / "smile.safetensors").rename(tmp_path / "elsewhere")
    (there / "smile.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DirectionError, match="symbolic link"):
        folder.read("smile")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(bundle: Path) -> None:
    folder = Directions(bundle, read_manifest(bundle))
    (bundle / "directions").chmod(0o500)
    with pytest.raises(OutputError):
        folder.add([smile("0" * 64, "new")])


def test_the_header_is_what_the_docs_say(tmp_path: Path) -> None:
    colour(MODEL).save(tmp_path / "x")
    header, _ = split((tmp_path / "x").read_bytes())
    assert set(header) == {"__metadata__", "vector", "mean", "deviation"}
    assert set(header["__metadata__"]) == {
        *("format", "version", "name", "kind", "model", "sha256"),
        *("first_row", "end_row", "least_strength", "greatest_strength"),
    }
    assert json.dumps(header)


def test_inspect_tells_of_them(bundle: Path) -> None:
    found = json.loads(run("inspect", bundle / "directions" / "colour.safetensors", "--json").stdout)
    assert (found["kind"], found["form"], found["name"]) == ("direction", "component", "colour")
    assert "directions: colour, pose, smile" in run("inspect", bundle).stdout
    assert json.loads(run("inspect", bundle, "--json").stdout)["directions"] == ["colour", "pose", "smile"]
