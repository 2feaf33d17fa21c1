"""Faces are cut as FFHQ's were: pixel for pixel, at any size, at borders; and what is no face is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from hyperstyle_deploy.errors import AlignmentError
from hyperstyle_deploy.runtime.alignment import Crop, align
from hyperstyle_deploy.runtime.alignment.border import blurred, pad_softly
from hyperstyle_deploy.runtime.alignment.ffhq import cut, square_at, square_of
from hyperstyle_deploy.runtime.alignment.landmarks import features

DATA = Path(__file__).parents[3] / "data" / "alignment"
#: What the authors' code computed from these landmarks.
CASES = json.loads((DATA / "alignment.json").read_text())["cases"]
#: Eyes, nose and the mouth's corners of an upright face of some 100 pixels.
FACE = [[80, 90], [120, 90], [100, 112], [84, 134], [116, 134]]


def gradient(width: int = 200, height: int = 220) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows, columns, (rows + columns) // 2], 2).astype(np.uint8))


def differences(left: object, right: object) -> NDArray[np.float64]:
    return np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64))


@pytest.mark.parametrize("case", CASES)
def test_crops_are_the_authors(case: str) -> None:
    photo, landmarks = DATA / f"{case}.png", CASES[case]["landmarks"]
    found = differences(align(photo, landmarks, 256).picture, Image.open(DATA / f"{case}.aligned256.png"))
    assert found.max() <= 1
    assert (found > 0).mean() < 0.001
    arrays = np.load(DATA / "alignment.npz")
    large = np.asarray(align(photo, landmarks, 1024).picture)
    assert differences(large[480:544, 480:544], arrays[f"{case}_1024_crop64"]).max() <= 1
    pooled = large.astype(np.float64).reshape(64, 16, 64, 16, 3).mean((1, 3))
    assert differences(pooled, arrays[f"{case}_1024_pool64"]).max() < 0.2


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [256, 1024])
def test_the_record_says_what_was_sampled(case: str, size: int) -> None:
    """The authors' own numbers, brought back from their shrunk, cropped and padded picture into the photo."""
    values = CASES[case]["values"][str(size)]
    shrink = max(values["shrink"], 1)
    corner = np.array(values["crop"][:2]) - (np.array(values["pad"][:2]) if values["padded"] else 0)
    crop = align(DATA / f"{case}.png", CASES[case]["landmarks"], size).crop
    expected = (np.array(values["quad"]) + corner + 0.5) * shrink
    assert np.allclose(crop.quad, expected, atol=1e-6)
    assert crop.side == pytest.approx(values["qsize"] * shrink)
    assert Crop.parse(crop.text) == crop


@pytest.mark.parametrize("case", CASES)
def test_a_square_is_known_by_its_corners(case: str) -> None:
    """The record's corners give the same picture again, also of a photo that was shrunk first."""
    photo = Image.open(DATA / f"{case}.png").convert("RGB")
    for size in (64, 1024):
        aligned = align(photo, CASES[case]["landmarks"], size)
        again = cut(photo, square_at(aligned.crop.quad, photo.size, size), size)
        assert np.allclose(again.crop.quad, aligned.crop.quad, atol=1e-6)
        assert differences(again.picture, aligned.picture).max() <= 1


@pytest.mark.parametrize("size", [64, 100, 333])
def test_any_size_shows_the_same_part(size: int) -> None:
    aligned = align(gradient(), FACE, size)
    assert aligned.picture.size == (size, size)
    assert aligned.crop.quad == align(gradient(), FACE, 1024).crop.quad
    # A pixel's row and column in the photo are its colour.
    places = aligned.crop.to_photo((np.stack(np.mgrid[:size, :size][::-1], 2).reshape(-1, 2) + 0.5) / size) - 0.5
    inside = ((places > 30) & (places < 170)).all(1)
    colours = np.asarray(aligned.picture).reshape(-1, 3)
    assert inside.any()
    assert differences(colours[inside, 1::-1], places[inside]).max() < 1.01


def test_points_go_into_the_photo_and_back() -> None:
    crop = align(gradient(), FACE, 64).crop
    points = np.random.default_rng(0).random((10, 2))
    assert np.allclose(crop.from_photo(crop.to_photo(points)), points)


def test_exif_turns_the_photo_before_landmarks_count(tmp_path: Path) -> None:
    upright = gradient()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert align(tmp_path / "turned.png", FACE, 64).picture.tobytes() == align(upright, FACE, 64).picture.tobytes()


def test_layouts_agree_on_the_features() -> None:
    points = np.full((68, 2), 5.0)
    points[36:42], points[42:48] = FACE[0], FACE[1]
    points[48], points[54] = FACE[3], FACE[4]
    mesh = np.full((478, 2), 7.0)
    mesh[[33, 160, 158, 133, 153, 144]], mesh[[362, 385, 387, 263, 373, 380]] = FACE[0], FACE[1]
    mesh[61], mesh[291] = FACE[3], FACE[4]
    blaze = [FACE[0], FACE[1], FACE[2], [100, 134], [60, 95], [140, 95]]
    for landmarks in (points, mesh, mesh[:468], blaze):
        found, expected = square_of(features(landmarks)), square_of(features(FACE))
        assert np.allclose(found.centre, expected.centre)
        assert np.allclose(found.right, expected.right)


NAN = [[float("nan"), 90], *FACE[1:]]


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((68, 3)), "wrong shape"),
        (np.zeros((7, 2)), "wrong shape"),
        ([], "wrong shape"),
        ("eyes", "no array of numbers"),
        ([[1, 2], [3]], "no array of numbers"),
        (NAN, "NaN or Inf"),
        (np.full((68, 2), 100.0), "at one place"),
        ([FACE[1], FACE[0], *FACE[2:]], "left and right swapped"),
        (np.array(FACE) + 5000, "outside the photo"),
        (np.array(FACE) - 300, "outside the photo"),
        ((np.array(FACE) - (100, 94)) * 50 + 100, "far larger than the photo"),
        (np.array(FACE) * 1e300, "in no picture"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_face_is_refused(landmarks: object, message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        align(gradient(), landmarks, 64)


@pytest.mark.parametrize("size", [0, 15, 4097, 64.0, True])
def test_sizes_have_a_range(size: object) -> None:
    with pytest.raises(AlignmentError, match="size is out of range"):
        align(gradient(), FACE, size)


def test_a_face_may_be_as_large_as_its_photo_and_leave_it() -> None:
    """The padding is many times the photo, which is then reflected again and again."""
    tiny = gradient(12, 9)
    aligned = align(tiny, (np.array(FACE) - 100) * 0.2 + (6, 4), 64)
    assert aligned.crop.side > 2 * max(tiny.size)
    assert aligned.picture.size == (64, 64)


def test_padding_has_its_bounds() -> None:
    """Some 10,000 pixels a side: a face of four sides of its photo, at a size for which nothing is shrunk."""
    with pytest.raises(AlignmentError, match="too large at the border"):
        align(Image.new("RGB", (3000, 3000)), (np.array(FACE) - (100, 94)) * 70 + 1500, 4096)


def test_the_blur_is_a_mirrored_gaussian() -> None:
    channel = np.random.default_rng(1).random((20, 33)).astype(np.float32)
    for sigma in (0.4, 1.7, 9.0):
        reach = int(4 * sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights /= weights.sum()
        expected = channel.astype(np.float64)
        for axis in (0, 1):
            around = [(reach, reach) if axis == each else (0, 0) for each in (0, 1)]
            padded = np.pad(expected, around, "symmetric")
            expected = np.apply_along_axis(np.convolve, axis, padded, weights, "valid")
        assert np.abs(blurred(channel, sigma) - expected).max() < 1e-5


def test_padding_leaves_the_middle_and_ends_in_the_median() -> None:
    photo = gradient(60, 60)
    padded = np.asarray(pad_softly(photo, (30, 30, 30, 30), 100))
    assert padded.shape == (120, 120, 3)
    assert (padded[60:65, 60:65] == np.asarray(photo)[30:35, 30:35]).all()
    assert np.ptp(padded[0], axis=0).max() <= 1
