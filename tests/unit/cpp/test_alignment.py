"""The C++ runtime aligns and pastes as the Python runtime does, and refuses what that refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.alignment import Crop, align, paste_back
from hyperstyle_deploy.runtime.alignment.given import GivenBox
from hyperstyle_deploy.runtime.alignment.record import ALIGNMENT
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.tests.unit.cpp.conftest import Probe
from hyperstyle_deploy.tests.unit.cpp.test_photos import pixels_in

DATA = Path(__file__).parents[2] / "data" / "alignment"
CASES = json.loads((DATA / "alignment.json").read_text())["cases"]
ALIGNMENT_ERROR = 12
FACE = [[80.0, 90.0], [120.0, 95.0], [100.0, 112.0], [84.0, 134.0], [116.0, 138.0]]


def spoken(landmarks: object) -> str:
    return " ".join(map(repr, np.asarray(landmarks, float).ravel().tolist()))


def noise(height: int, width: int) -> Image.Image:
    """Patches with edges and slopes."""
    small = np.random.default_rng(height).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def differences(found: np.ndarray, expected: Image.Image) -> np.ndarray:
    return np.abs(found.astype(int) - np.asarray(expected).astype(int))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [64, 256])
def test_faces_are_cut_as_in_python(probe: Probe, case: str, size: int, tmp_path: Path) -> None:
    photo, landmarks = DATA / f"{case}.png", CASES[case]["landmarks"]
    line = ("align", photo, spoken(landmarks), size, tmp_path / "out", tmp_path / "record")
    assert probe.run(line) == [(0, "")]
    expected = align(photo, landmarks, size)
    found = differences(pixels_in(tmp_path / "out"), expected.picture)
    assert found.max() <= 1
    # Pillow shrinks columns first where the photo is higher than wide, and rounds between the two.
    assert (found > 0).mean() < (0.2 if expected.crop.side >= 4 * size else 0.001)
    crop = Crop.parse((tmp_path / "record").read_bytes())
    assert (crop.photo, crop.size) == (expected.crop.photo, size)
    assert np.allclose(crop.quad, expected.crop.quad, rtol=0, atol=1e-6)
    if size == 256:
        golden = differences(pixels_in(tmp_path / "out"), Image.open(DATA / f"{case}.aligned256.png"))
        assert golden.max() <= 1
        assert (golden > 0).mean() < 0.001


@pytest.mark.parametrize("points", [5, 6, 68, 468, 478])
def test_layouts_are_pythons(probe: Probe, points: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(points)
    landmarks = np.array([100.0, 110.0]) + draw.normal(size=(points, 2)) * 3
    for index, place in zip(
        (0, 1, 3, 4, *range(36, 48)), (*FACE[:2], *FACE[3:], *[FACE[0]] * 6, *[FACE[1]] * 6), strict=True
    ):
        if index < points:
            landmarks[index] = place
    if points > 400:
        landmarks[[33, 160, 158]], landmarks[[362, 385, 387]] = (70, 85), (140, 95)
    photo = noise(240, 200)
    photo.save(tmp_path / "in.png")
    line = ("align", tmp_path / "in.png", spoken(landmarks), 80, tmp_path / "out", tmp_path / "record")
    assert probe.run(line) == [(0, "")]
    assert differences(pixels_in(tmp_path / "out"), align(photo, landmarks, 80).picture).max() <= 1


@pytest.mark.parametrize("box", [(60.0, 70.0, 140.0, 160.0), (0.5, 10.25, 90.75, 120.0)])
def test_a_box_serves_for_landmarks(probe: Probe, box: tuple[float, ...], tmp_path: Path) -> None:
    photo = noise(240, 200)
    photo.save(tmp_path / "in.png")
    rest = (80, tmp_path / "out", tmp_path / "record")
    assert probe.run(("align", tmp_path / "in.png", ",".join(map(repr, box)), *rest)) == [(0, "")]
    (landmarks,) = GivenBox(box).find(photo, "in.png")
    expected = align(photo, landmarks, 80)
    assert differences(pixels_in(tmp_path / "out"), expected.picture).max() <= 1
    crop = Crop.parse((tmp_path / "record").read_bytes())
    np.testing.assert_allclose(crop.quad, expected.crop.quad, rtol=0, atol=1e-9)


def test_what_is_no_box_is_refused(probe: Probe, tmp_path: Path) -> None:
    noise(240, 200).save(tmp_path / "in.png")
    rest = (80, tmp_path / "out", tmp_path / "record")
    lines = [
        ("align", tmp_path / "in.png", box, *rest)
        for box in ("60.0,70.0,60.0,160.0", "60.0,70.0,140.0,20.0", "nan,70.0,140.0,160.0", "60.0,70.0,inf,160.0")
    ]
    for code, text in probe.run(*lines):
        assert code == ALIGNMENT_ERROR
        assert text.startswith("That is no box. Got: ")


def test_a_tiny_photo_is_reflected_again_and_again(probe: Probe, tmp_path: Path) -> None:
    photo = Image.fromarray(np.asarray(noise(16, 16))[:9, :12])
    photo.save(tmp_path / "in.png")
    Image.fromarray(np.asarray(photo)[:1, :]).save(tmp_path / "row.png")
    landmarks = (np.array(FACE) - 100) * 0.2 + (6, 2)
    for name in ("in.png", "row.png"):
        row = landmarks - (0, 1 if name == "row.png" else 0)
        line = ("align", tmp_path / name, spoken(row), 64, tmp_path / "out", tmp_path / "record")
        assert probe.run(line) == [(0, "")]
        found = differences(pixels_in(tmp_path / "out"), align(tmp_path / name, row, 64).picture)
        assert found.max() <= 1
        assert (found > 0).mean() < 0.01


@pytest.mark.parametrize("feather", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("side", [32, 300])
def test_faces_are_pasted_as_in_python(probe: Probe, feather: float, side: int, tmp_path: Path) -> None:
    photo, face = noise(240, 200), noise(side, side).resize((side, side))
    photo.save(tmp_path / "photo.png")
    face.save(tmp_path / "face.png")
    for row, shift in enumerate([(0, 0), (60, 70)]):
        crop = align(photo, np.array(FACE) + shift, 64).crop
        line = ("paste", tmp_path / "photo.png", tmp_path / "face.png", crop.text, feather, tmp_path / f"{row}")
        assert probe.run(line) == [(0, "")]
        found = differences(pixels_in(tmp_path / f"{row}"), paste_back(photo, face, crop, feather))
        assert found.max() <= 1
        assert (found > 0).mean() < 0.001


def test_an_inversion_tells_where_its_face_was(probe: Probe, tmp_path: Path) -> None:
    photo = noise(240, 200)
    photo.save(tmp_path / "photo.png")
    aligned = align(photo, FACE, 64)
    aligned.picture.save(tmp_path / "face.png")
    for name, source in (("kept", {ALIGNMENT: aligned.crop.text}), ("none", {}), ("damaged", {ALIGNMENT: "{}"})):
        arrays = {"codes": np.zeros((1, 4), np.float32)}
        Inversion(arrays, 0, "psp", "0" * 64, source=source).save(tmp_path / f"{name}.inversion")
    paths = [tmp_path / f"{name}.inversion" for name in ("kept", "none", "damaged")]
    lines = [("paste", tmp_path / "photo.png", tmp_path / "face.png", path, 0.1, tmp_path / "out") for path in paths]
    kept, none, damaged = probe.run(*lines)
    assert kept == (0, "")
    expected = paste_back(photo, aligned.picture, aligned.crop)
    assert differences(pixels_in(tmp_path / "out"), expected).max() <= 1
    assert none[0] == ALIGNMENT_ERROR
    assert "keeps no alignment" in none[1]
    assert damaged[0] == ALIGNMENT_ERROR
    assert "no record of an alignment" in damaged[1]


def test_what_is_no_face_is_refused(probe: Probe, tmp_path: Path) -> None:
    noise(240, 200).save(tmp_path / "in.png")
    cases = {
        "wrong shape": FACE[:4],
        "NaN or Inf": [[float("nan"), 1], *FACE[1:]],
        "in no picture": np.array(FACE) * 1e300,
        "at one place": np.full((68, 2), 100),
        "left and right swapped": [FACE[1], FACE[0], *FACE[2:]],
        "outside the photo": np.array(FACE) + 5000,
        "far larger than the photo": (np.array(FACE) - (100, 97)) * 50 + 100,
    }
    rest = (64, tmp_path / "out", tmp_path / "record")
    lines = [("align", tmp_path / "in.png", spoken(landmarks), *rest) for landmarks in cases.values()]
    lines += [("align", tmp_path / "in.png", spoken(FACE), size, *rest[1:]) for size in (15, 4097)]
    for (code, text), message in zip(probe.run(*lines), [*cases, *["size is out of range"] * 2], strict=True):
        assert code == ALIGNMENT_ERROR
        assert message in text
    assert not (tmp_path / "out").exists()


def test_what_does_not_belong_together_is_refused(probe: Probe, tmp_path: Path) -> None:
    noise(240, 200).save(tmp_path / "in.png")
    noise(64, 64).save(tmp_path / "face.png")
    crop = align(noise(240, 200), FACE, 64).crop
    face, photo = tmp_path / "face.png", tmp_path / "in.png"
    cases = [
        ("another photo", ("paste", face, face, crop.text, 0.1, tmp_path / "out")),
        ("no aligned picture", ("paste", photo, photo, crop.text, 0.1, tmp_path / "out")),
        ("feather is out of range", ("paste", photo, face, crop.text, 0.6, tmp_path / "out")),
        ("feather is out of range", ("paste", photo, face, crop.text, "nan", tmp_path / "out")),
    ]
    for (code, text), (message, _) in zip(probe.run(*(line for _, line in cases)), cases, strict=True):
        assert code == ALIGNMENT_ERROR
        assert message in text


GOOD = '{"photo": [400, 300], "size": 64, "quad": [[10, 10], [10, 60], [60, 60], [60, 10]]}'
CHANGES = [
    ("[400, 300]", "[400]"),
    ("[400, 300]", "[400, 0]"),
    ("[400, 300]", "[400000, 300000]"),
    ("[400, 300]", "[400, 30000000000000000000]"),
    ("64", "true"),
    ("64", "4"),
    ("64", "64.0"),
    ("64", "1e999"),
    ("[10, 60]", '[10, "60"]'),
    ("[10, 60]", "[10, NaN]"),
    ("[10, 60]", "[10, 1e400]"),
    ("[10, 60]", "[10, 1e300]"),
    ("[10, 60]", "[10]"),
    ("[10, 60]", "[10, 90]"),
    ("[60, 60], [60, 10]", "[10, 60], [10, 10]"),
    ('"size"', '"length"'),
    ('"size": 64', '"size": 64, "size": 64'),
    ("{", "["),
    (GOOD, "null"),
    (GOOD, '{"quad": "' + "x" * 5000 + '"}'),
]


def test_records_are_read_strictly(probe: Probe) -> None:
    answers = probe.run(("crop", GOOD), *(("crop", GOOD.replace(old, new, 1)) for old, new in CHANGES))
    assert answers[0] == (0, "")
    for code, text in answers[1:]:
        assert code == ALIGNMENT_ERROR
        assert "no record of an alignment" in text
