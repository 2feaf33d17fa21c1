"""`edit`: sheets and pictures, strengths and rows, people, JSON; nothing is written where one is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run


def edit(bundle: Path, files: list[Path], output: Path, *options: object):
    return run("edit", bundle, *files, "-o", output, "--backend", "onnxruntime", *options)


def test_a_row_with_a_fixed_strength(
    bundle: Path, session: Session, people: list[Inversion], files: list[Path], tmp_path: Path
) -> None:
    result = edit(bundle, files, tmp_path / "out", "--direction", "smile=-3:3:3", "--direction", "pose=1", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["interrupted"] is False
    for person, file, entry in zip(people, files, document["inversions"], strict=True):
        strengths = [{"pose": 1.0, "smile": smile} for smile in (-3.0, 0.0, 3.0)]
        assert entry["inversion"] == str(file)
        assert [picture["strengths"] for picture in entry["pictures"]] == strengths
        for picture, drawn in zip(entry["pictures"], session.edit(person, strengths), strict=True):
            difference = np.abs(np.asarray(Image.open(picture["file"])).astype(int) - drawn).max()
            assert difference <= 1
        sheet = Image.open(entry["sheet"])
        assert sheet.width == 4 * 128
        assert sheet.height > 128
        enlarged = Image.fromarray(person.image).resize((128, 128), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(np.asarray(sheet)[:128, :128], enlarged)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"anna.pose=1,smile=-3.png", "anna.sheet.png", "bert.pose=1,smile=0.png"} < written
    assert len(written) == 8


def test_two_rows_and_single_pictures(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    options = ("--direction", "smile=-3:3:3", "--direction", "colour=-20:20:2")
    result = edit(bundle, files[:1], tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert "anna.sheet.png  5 pictures beside it" in result.stdout
    sheet = Image.open(tmp_path / "out" / "anna.sheet.png")
    assert (sheet.width, sheet.height % 2) == (4 * 128, 0)
    assert "1 picture beside it" in edit(bundle, files[:1], tmp_path / "one", "--direction", "smile=2.5").stdout
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"anna.smile=2.5.png", "anna.sheet.png"}


def test_rows_of_another_inversion(
    bundle: Path, session: Session, people: list[Inversion], files: list[Path], tmp_path: Path
) -> None:
    result = edit(bundle, files[:1], tmp_path / "out", "--mix", f"2:5={files[1]}", "--json")
    assert json.loads(result.stdout)["mixes"] == [{"inversion": str(files[1]), "rows": [2, 5]}]
    codes = people[0].codes.copy()
    codes[2:5] = people[1].codes[2:5]
    drawn = session.synthesize(people[0], codes)[0]
    found = np.asarray(Image.open(tmp_path / "out" / "anna.mix.png")).astype(int)
    assert np.abs(found - drawn).max() <= 1
    assert edit(bundle, files[:1], tmp_path / "b", "--mix", f"2:5={files[1]}", "--direction", "smile=1").exit_code == 0
    assert (tmp_path / "b" / "anna.smile=1.png").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "There is nothing to do"),
        (("--direction", "grin=1"), "no direction grin. Got: colour, pose, smile"),
        (("--direction", "smile=101"), "strength of smile is out of range"),
        (("--direction", "smile"), "'smile' is neither like smile=2.5"),
        (("--direction", "smile=nan"), "is neither like"),
        (("--direction", "smile=1:2"), "is neither like"),
        (("--direction", "smile=1:2:1"), "is neither like"),
        (("--direction", "smile=1:2:65"), "is neither like"),
        (("--direction", "smile=1", "--direction", "smile=2"), "A direction is given twice"),
        (("--mix", "2:5"), "is not like 8:14=other.inversion"),
        (("--mix", "2:5=gone.inversion"), "Cannot read the inversion gone.inversion"),
        (("--mix", "2:9={file}"), "rows to mix are not those of the codes"),
    ],
)
def test_wrong_use_writes_nothing(
    bundle: Path, files: list[Path], tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    filled = [option.format(file=files[1]) for option in options]
    result = edit(bundle, files, tmp_path / "out", *filled)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_one_wrong_inversion_among_several_writes_nothing(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.inversion").write_bytes(b"no inversion")
    result = edit(bundle, [*files, tmp_path / "bad.inversion"], tmp_path / "out", "--direction", "smile=1")
    assert (result.exit_code, "Cannot read the inversion" in result.stderr) == (2, True)
    other = Inversion({"codes": np.zeros((8, 8), np.float32)}, 0, "hyperstyle", "f" * 64)
    other.save(tmp_path / "other.inversion")
    result = edit(bundle, [*files, tmp_path / "other.inversion"], tmp_path / "out", "--direction", "smile=1")
    assert (result.exit_code, "belongs to another model" in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
