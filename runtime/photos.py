"""Which files are photos, and what results of them are called."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ImageError
from .images import SUFFIXES


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """Photos as given; a folder stands for the JPEG, PNG and WebP files in it, by name.

    Raises:
        ImageError: a path that is not there, or a folder without photos.
    """
    photos: list[Path] = []
    for path in paths:
        if not os.path.exists(path):  # Path.exists raises where a name is too long
            raise ImageError(f"There is no {path}", expected="photos, or folders of them")
        if not path.is_dir():
            photos.append(path)
            continue
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())
        if not found:
            raise ImageError(f"No photos in {path}", expected=f"files ending in {', '.join(SUFFIXES)}")
        photos += found
    return list(dict.fromkeys(photos))


def output_names(photos: Sequence[Path]) -> dict[Path, str]:
    """A name for each photo's files: its stem, or with its suffix where two share the stem.

    Raises:
        ImageError: two photos of one name, from different folders.
    """
    stems = [photo.stem for photo in photos]
    names = {photo: photo.stem if stems.count(photo.stem) == 1 else photo.name for photo in photos}
    taken: dict[str, Path] = {}
    for photo, name in names.items():
        if name in taken:
            raise ImageError("Two photos would be written to the same files", got=f"{taken[name]} and {photo}")
        taken[name] = photo
    return names
