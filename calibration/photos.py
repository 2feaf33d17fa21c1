"""Photos to calibrate on: found, drawn with a seed, read, and all that cannot be read named at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError, HyperStyleDeployError, ImageError
from ..runtime.bundle.files import sha256_of
from ..runtime.manifest.manifest import Manifest
from ..runtime.images import network_input, read_photo
from ..runtime.serving.batch import find_photos


@dataclass(frozen=True)
class CalibrationPhoto:
    """A photo's file, and what the networks see of it, [3, H, W] float32 in [-1, 1]."""

    path: Path
    sha256: str
    pixels: NDArray[np.float32]


def read_photos(
    paths: Sequence[Path], manifest: Manifest, count: int | None = None, seed: int = 0
) -> list[CalibrationPhoto]:
    """Read photos to calibrate on.

    Args:
        paths: photos, and folders of photos.
        manifest: the bundle's, for the size that its networks see.
        count: how many to draw; None for all.
        seed: of the draw. Same files, count and seed: same photos, in the order of the paths.

    Raises:
        CalibrationError: no photos, or fewer than ``count``.
        ImageError: photos that cannot be read, each with the reason.
    """
    found = find_photos(paths)
    if not found or (count is not None and count > len(found)):
        raise CalibrationError("Too few photos", got=len(found), expected=f"at least {count or 1}")
    if count is not None:
        drawn = np.random.default_rng(seed).permutation(len(found))[:count]
        found = [found[index] for index in sorted(drawn)]
    image, photos, failed = manifest.image, [], []
    for path in found:
        try:
            pixels = network_input([read_photo(path)], image.input_height, image.input_width)[0]
            photos.append(CalibrationPhoto(path, sha256_of(path), pixels))
        except (HyperStyleDeployError, OSError) as error:
            failed.append(str(error).rstrip("."))  # it names the photo
    if failed:
        raise ImageError("Photos cannot be read", got="; ".join(failed), hint="Leave them out.")
    return photos
