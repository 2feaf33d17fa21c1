"""Drawn faces, whose landmarks are true: turned and moved in a larger picture they are aligned as if they were not."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hyperstyle_deploy.runtime.alignment import align, align_faces, open_finder, paste_back
from hyperstyle_deploy.runtime.alignment.landmarks import features
from hyperstyle_deploy.runtime.images import read_photo
from hyperstyle_deploy.training.__main__ import main
from hyperstyle_deploy.training.group import PLACES, Place, group_photo

SIZE = 128
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def placed(seed: int, degrees: float, scale: float) -> tuple[Image.Image, np.ndarray]:
    """A photo of one face, turned and sized, and its landmarks."""
    photo, (points,) = group_photo([seed], [Place(360, 280, 256 * scale, degrees)], (700, 600))
    return photo, points


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (25, 1.0), (-60, 1.3), (180, 0.8)])
def test_eyes_and_mouth_land_where_ffhq_has_them(seed: int, degrees: float, scale: float) -> None:
    photo, points = placed(seed, degrees, scale)
    crop = align(photo, points, SIZE).crop
    inside = features(crop.from_photo(points + 0.5))
    eyes = (inside.left_eye + inside.right_eye) / 2
    # FFHQ's square has the eyes a quarter of its side apart, unless the mouth would be further than 1/3.6 below them.
    assert eyes[0] == pytest.approx(0.5, abs=0.04)
    assert 0.46 < eyes[1] < 0.5
    apart, below = np.hypot(*(inside.right_eye - inside.left_eye)), np.hypot(*(inside.mouth - eyes))
    assert max(apart * 4, below * 3.6) == pytest.approx(1)
    assert inside.mouth[0] == pytest.approx(0.5, abs=0.04)
    assert 0.64 < inside.mouth[1] < 0.76
    assert inside.right_eye[0] > inside.left_eye[0]
    assert abs(inside.right_eye[1] - inside.left_eye[1]) < 0.02


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("degrees", "scale"), [(25, 1.0), (-100, 1.2)])
def test_a_turned_face_is_the_upright_one_again(seed: int, degrees: float, scale: float) -> None:
    upright, turned = (align(*placed(seed, *how), SIZE) for how in ((0, 1.0), (degrees, scale)))
    assert turned.crop.side == pytest.approx(upright.crop.side * scale)
    middle = (slice(SIZE // 5, -SIZE // 5),) * 2
    found, expected = (np.asarray(aligned.picture, np.float64)[middle] for aligned in (turned, upright))
    assert np.abs(found - expected).mean() < 2.5
    other = np.asarray(align(*placed(seed + 1, 0, 1.0), SIZE).picture, np.float64)[middle]
    assert np.abs(other - expected).mean() > 10  # so the mean is small for no other reason


def test_a_group_photo_there_and_back(tmp_path: Path) -> None:
    """Two faces in one photo: the larger one is changed, the smaller one stays."""
    photo, faces = group_photo([1, 2], [Place(360, 280, 130, 10), Place(1060, 280, 230, -20)], (1400, 600))
    (tmp_path / "faces.json").write_text(json.dumps({"group.png": [face.tolist() for face in faces]}))
    found = align_faces(open_finder(landmarks=tmp_path / "faces.json"), photo, "group.png", SIZE)
    assert [aligned.crop.side > 150 for aligned in found] == [True, False]
    after = np.asarray(paste_back(photo, Image.new("RGB", (SIZE, SIZE), "red"), found[0].crop))
    assert (after[:, :700] == np.asarray(photo)[:, :700]).all()
    assert tuple(after[280, 700 + 360]) == (255, 0, 0)


def test_the_pages_photo_and_its_landmarks_belong_together(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["group", "--seed", "3", "--extras", "-o", str(tmp_path / "photo.png")])
    assert result.exit_code == 0
    found = align_faces(
        open_finder(landmarks=tmp_path / "photo.json"), read_photo(tmp_path / "photo.png"), "photo.png", 64
    )
    assert len(found) == len(PLACES)
    for aligned in found:
        middle = aligned.crop.to_photo(np.array([[0.5, 0.5]]))[0]
        assert min(np.hypot(middle[0] - place.x, middle[1] - place.y) for place in PLACES) < 40
