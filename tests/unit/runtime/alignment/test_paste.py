"""A face goes back to where it came from, fades into the photo, and leaves the rest as it was."""

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import AlignmentError
from hyperstyle_deploy.runtime.alignment import Crop, align, paste_back

PHOTO = (400, 300)
#: Turned by some 20 degrees, in the middle of the photo.
FACE = np.array([[180, 130], [220, 145], [195, 160], [170, 175], [200, 186]])


def waves() -> Image.Image:
    """A photo smooth enough that sampling it twice loses little."""
    rows, columns = np.mgrid[: PHOTO[1], : PHOTO[0]]
    channels = [np.sin(rows / 17), np.cos(columns / 23), np.sin((rows + columns) / 31)]
    return Image.fromarray((np.stack(channels, 2) * 100 + 128).astype(np.uint8))


def shares(crop: Crop) -> np.ndarray:
    """Where every pixel of the photo lies in the aligned picture, [H, W, 2]."""
    columns, rows = np.meshgrid(np.arange(PHOTO[0]) + 0.5, np.arange(PHOTO[1]) + 0.5)
    return crop.from_photo(np.stack([columns, rows], 2).reshape(-1, 2)).reshape(*rows.shape, 2)


@pytest.mark.parametrize("size", [128, 512, 1024])
@pytest.mark.parametrize("shift", [(0, 0), (-120, -80), (150, 100)])
def test_an_unchanged_face_changes_nothing(size: int, shift: tuple[int, int]) -> None:
    photo = waves()
    aligned = align(photo, FACE + shift, size)
    after = np.asarray(paste_back(photo, aligned.picture, aligned.crop)).astype(int)
    # Where FFHQ's preparation blurs and fades the borders of a photo, the face is another than the photo.
    seen = np.ones(PHOTO[::-1], bool)
    if shift != (0, 0):
        third = int(aligned.crop.side * 0.6)
        seen[:third] = seen[-third:] = False
        seen[:, :third] = seen[:, -third:] = False
    assert np.abs(after - np.asarray(photo))[seen].max(initial=0) <= 3


@pytest.mark.parametrize("side", [32, 700])
def test_another_face_covers_its_square_alone(side: int) -> None:
    photo, crop = waves(), align(waves(), FACE, 64).crop
    red = np.zeros((side, side, 3), np.uint8)
    red[:, :, 0] = 255
    after = np.asarray(paste_back(photo, red, crop, feather=0.2))
    inside = np.minimum(shares(crop), 1 - shares(crop)).min(2)
    assert (after[inside < 0] == np.asarray(photo)[inside < 0]).all()
    assert (after[inside > 0.2] == (255, 0, 0)).all()
    green = np.asarray(photo)[:, :, 1].astype(int)
    faded = (inside > 0.05) & (inside < 0.15) & (green > 60)
    assert ((after[:, :, 1] > 0) & (after[:, :, 1] < green))[faded].all()


def test_without_a_feather_the_edge_is_sharp() -> None:
    photo, crop = waves(), align(waves(), FACE, 64).crop
    after = np.asarray(paste_back(photo, Image.new("RGB", (64, 64)), crop, feather=0))
    inside = np.minimum(shares(crop), 1 - shares(crop)).min(2)
    assert (after[inside > 1e-9] == 0).all()
    assert (after[inside < -1e-9] == np.asarray(photo)[inside < -1e-9]).all()


def test_corners_land_on_their_corners() -> None:
    """A mirrored or turned square would put colours elsewhere."""
    crop = align(waves(), FACE, 64).crop
    quarters = np.zeros((64, 64, 3), np.uint8)
    quarters[:32, :32, 0] = quarters[:32, 32:, 1] = quarters[32:, :32, 2] = 200
    after = np.asarray(paste_back(waves(), quarters, crop))
    for share, colour in {(0.3, 0.3): (200, 0, 0), (0.7, 0.3): (0, 200, 0), (0.3, 0.7): (0, 0, 200)}.items():
        x, y = (crop.to_photo(np.array([share]))[0] - 0.5).round().astype(int)
        assert tuple(after[y, x]) == colour


def test_what_does_not_belong_together_is_refused() -> None:
    aligned = align(waves(), FACE, 64)
    with pytest.raises(AlignmentError, match="another photo"):
        paste_back(waves().resize((200, 150)), aligned.picture, aligned.crop)
    with pytest.raises(AlignmentError, match="no aligned picture"):
        paste_back(waves(), aligned.picture.resize((64, 48)), aligned.crop)
    for feather in (-0.1, 0.6, float("nan")):
        with pytest.raises(AlignmentError, match="feather is out of range"):
            paste_back(waves(), aligned.picture, aligned.crop, feather)


GOOD = '{"photo": [400, 300], "size": 64, "quad": [[10, 10], [10, 60], [60, 60], [60, 10]]}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[400, 300]", "[400]"),
        ("[400, 300]", "[400, 0]"),
        ("[400, 300]", "[400000, 300000]"),
        ("64", "true"),
        ("64", "4"),
        ("64", "1e999"),
        ("[10, 60]", '[10, "60"]'),
        ("[10, 60]", "[10, NaN]"),
        ("[10, 60]", "[10, 1e300]"),
        ("[10, 60]", "[10]"),
        ("[10, 60]", "[10, 90]"),
        ("[60, 60], [60, 10]", "[10, 60], [10, 10]"),
        ('"size"', '"length"'),
        ("{", "["),
        (GOOD, "null"),
        (GOOD, '{"quad": "' + "x" * 5000 + '"}'),
    ],
)
def test_records_are_read_strictly(old: str, new: str) -> None:
    assert Crop.parse(GOOD).quad[1] == (10, 60)
    with pytest.raises(AlignmentError, match="no record of an alignment"):
        Crop.parse(GOOD.replace(old, new, 1))
