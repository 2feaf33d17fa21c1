"""Edits in C++ and C: what Python draws, from the same bundles; and the same files are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.hostile_directions import hostile_directions, sound_direction
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.toy_bundle import ToyBundle
from hyperstyle_deploy.tests.unit.cpp.conftest import Probe
from hyperstyle_deploy.tests.unit.cpp.test_readers import check_refusals

INVERSION_ERROR, DIRECTION_ERROR = 4, 11
EDITS = ("", "smile=2.5", "pose=-1", "colour=4", "smile=-3.25,pose=1,colour=-20")


def strengths(edit: str) -> dict[str, float]:
    return {name: float(value) for name, _, value in (part.partition("=") for part in edit.split(",") if part)}


@pytest.fixture
def session(toy_bundle: ToyBundle) -> Session:
    manifest, draw = read_manifest(toy_bundle.path), np.random.default_rng(0)

    def rows(count: int) -> np.ndarray:
        return draw.standard_normal((count, WIDTH), np.float32)

    deviation = np.array([2.5], np.float32)
    directions = [
        Direction("smile", rows(1), (0, STYLES), (-5, 5), manifest.model),
        Direction("pose", rows(3), (1, 4), (-2.5, 2), manifest.model),
        Direction("colour", rows(1), (2, 5), (-20, 20), manifest.model, rows(1), deviation),
    ]
    Directions(toy_bundle.path, manifest).add(directions)
    return load(toy_bundle.path, backend="onnxruntime")


@pytest.fixture
def person(session: Session, tmp_path: Path) -> Inversion:
    found = session.invert(np.full((40, 40, 3), (250, 10, 90), np.uint8), steps=2)
    found.save(tmp_path / "person")
    return found


@pytest.fixture
def other(session: Session, tmp_path: Path) -> Inversion:
    found = session.invert(np.full((40, 40, 3), 20, np.uint8), steps=4)
    found.save(tmp_path / "other")
    return found


def test_edits_are_pythons(
    probe: Probe, session: Session, person: Inversion, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    assert probe.run(("edit", toy_bundle.path, "", tmp_path / "person", tmp_path / "out", *EDITS)) == [(0, "")]
    content = (tmp_path / "out").read_bytes()
    codes = np.frombuffer(content, np.float32, len(EDITS) * STYLES * WIDTH).reshape(-1, STYLES, WIDTH)
    pixels = np.frombuffer(content, np.uint8, offset=codes.nbytes).reshape(-1, 32, 32, 3)
    edits = [strengths(edit) for edit in EDITS]
    np.testing.assert_allclose(codes, session.edited_codes(person, edits), atol=1e-5)
    np.testing.assert_array_equal(codes[:3], session.edited_codes(person, edits)[:3])
    assert np.abs(pixels.astype(int) - session.edit(person, edits)).max() <= 1
    assert len({picture.tobytes() for picture in pixels}) == len(EDITS)


def test_rows_of_others_are_mixed_in(
    probe: Probe, session: Session, person: Inversion, other: Inversion, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    where = tmp_path / "other"
    texts = (f"0:4:{where}=1", f"2:8:{where}=-0.5", f"smile=2.5,0:3:{where}=0.5,3:{STYLES}:{where}=1")
    line = ("edit", toy_bundle.path, "", tmp_path / "person", tmp_path / "out", *texts)
    assert probe.run(line) == [(0, "")]
    edits = [
        {Mix(other, (0, 4)): 1.0},
        {Mix(other, (2, 8)): -0.5},
        {"smile": 2.5, Mix(other, (0, 3)): 0.5, Mix(other, (3, STYLES)): 1.0},
    ]
    codes = np.frombuffer((tmp_path / "out").read_bytes(), np.float32, len(edits) * STYLES * WIDTH)
    expected = session.edited_codes(person, edits)
    np.testing.assert_array_equal(codes.reshape(expected.shape), expected)
    pixels = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8, offset=codes.nbytes).reshape(-1, 32, 32, 3)
    assert np.abs(pixels.astype(int) - session.edit(person, edits)).max() <= 1
    assert len({picture.tobytes() for picture in pixels}) == len(edits)


def test_mixes_that_cannot_be_are_refused_by_both(
    probe: Probe,
    session: Session,
    person: Inversion,
    other: Inversion,
    toy_bundle: ToyBundle,
    tmp_path: Path,
) -> None:
    where, stranger = tmp_path / "other", tmp_path / "stranger"
    replace(other, model="1" * 64).save(stranger)
    texts = (f"0:9:{where}=1", f"3:3:{where}=1", f"-1:2:{where}=1", f"0:4:{where}=nan", f"0:4:{stranger}=1")
    answers = probe.run(*(("edit", toy_bundle.path, "", tmp_path / "person", tmp_path / "out", text) for text in texts))
    assert [code for code, _ in answers] == [*[DIRECTION_ERROR] * 4, INVERSION_ERROR]
    assert answers[0][1] == "The rows to mix are not those of the codes. Got: 0:9. Expected: FIRST:END inside 0:8."
    assert not (tmp_path / "out").exists()


def test_between_two_people(
    probe: Probe, session: Session, person: Inversion, other: Inversion, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    frames = list(session.frames(Trajectory([person, other], {"smile": (2, 2)}, easing="linear"), 5))
    for frame, time in zip(frames, (0, 0.25, 0.5, 0.75, 1), strict=True):
        words = (tmp_path / "person", tmp_path / "other", time, tmp_path / "out", "smile=2")
        assert probe.run(("between", toy_bundle.path, *words)) == [(0, "")]
        pixels = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8).reshape(32, 32, 3)
        assert np.abs(pixels.astype(int) - frame).max() <= 1


def test_directions_are_told(probe: Probe, session: Session, toy_bundle: ToyBundle, tmp_path: Path) -> None:
    assert probe.run(("directions", toy_bundle.path, tmp_path / "out")) == [(0, "")]
    lines = ["colour 1 0 2 5 -20 20", "pose 0 0 1 4 -2.5 2", "smile 0 0 0 8 -5 5"]
    assert (tmp_path / "out").read_text().splitlines() == lines


def test_the_same_errors(
    probe: Probe, session: Session, person: Inversion, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    folder = toy_bundle.path / "directions"
    (folder / "grin.safetensors").write_bytes((folder / "smile.safetensors").read_bytes())
    answers = probe.run(
        *(
            ("edit", toy_bundle.path, "", tmp_path / "person", tmp_path / "out", edit)
            for edit in ("frown=1", "grin=1", "smile=101")
        )
    )
    assert [code for code, _ in answers] == [DIRECTION_ERROR] * 3
    assert "The bundle has no direction frown. Got: colour, grin, pose, smile." in answers[0][1]
    assert "holds another direction. Got: smile. Expected: grin." in answers[1][1]
    assert answers[2][1] == "The strength of smile is out of range. Got: 101. Expected: -100 to 100."
    assert not (tmp_path / "out").exists()


def test_hostile_directions_are_refused(probe: Probe, tmp_path: Path) -> None:
    cases = list(hostile_directions(tmp_path))
    paths = [tmp_path / str(index) for index in range(len(cases))]
    for case, path in zip(cases, paths, strict=True):
        path.write_bytes(case.content)
    check_refusals(cases, probe.run(*(("direction", path) for path in paths)), DIRECTION_ERROR)
    sound_direction(tmp_path)
    assert probe.run(("direction", tmp_path / "sound")) == [(0, "")]
