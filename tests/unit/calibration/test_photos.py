"""Photos to calibrate on: a draw that a seed decides, and errors that name what cannot be read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.calibration.photos import read_photos
from hyperstyle_deploy.errors import CalibrationError, ImageError
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.manifest.manifest import Manifest


@pytest.fixture(scope="module")
def manifest(toys: Callable[..., Path]) -> Manifest:
    return read_manifest(toys())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(9):
        Image.new("RGB", (20, 30), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
    return tmp_path


def names(photos: Path, manifest: Manifest, count: int | None, seed: int) -> list[str]:
    return [photo.path.name for photo in read_photos([photos], manifest, count, seed)]


def test_a_seed_decides_the_draw(photos: Path, manifest: Manifest) -> None:
    first = names(photos, manifest, 4, 7)
    assert len(set(first)) == 4
    assert first == names(photos, manifest, 4, 7)
    assert any(names(photos, manifest, 4, seed) != first for seed in range(4))
    assert names(photos, manifest, None, 0) == [f"{number}.png" for number in range(9)]


def test_photos_are_what_the_networks_see(photos: Path, manifest: Manifest) -> None:
    pixels = read_photos([photos / "3.png"], manifest)[0].pixels
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), np.float32)
    assert pixels[0].max() == pytest.approx(60 / 127.5 - 1)


def test_too_few_photos_are_an_error(photos: Path, manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="Too few photos"):
        read_photos([photos], manifest, 10)
    with pytest.raises(CalibrationError, match="Too few photos"):
        read_photos([], manifest)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="No photos"):
        read_photos([tmp_path / "empty"], manifest)


def test_all_unreadable_photos_are_named(photos: Path, manifest: Manifest) -> None:
    for name in ("a.png", "b.jpg"):
        (photos / name).write_text("no picture")
    with pytest.raises(ImageError, match=r"(?s)a\.png.*b\.jpg"):
        read_photos([photos], manifest)
