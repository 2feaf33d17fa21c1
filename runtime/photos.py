"""Which files are photos, and what results of them are called."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import ImageError, OutputError
from .images import SUFFIXES

#: What `invert` and `align` write beside a result of this name: its strip, the images of its steps, the photo's face
#: and the photo with the result in it; numbered faces.
BESIDE = re.compile(r"(?P<name>.+)\.(strip|step\d+|aligned|pasted|face\d+)", re.DOTALL)


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

    So is a photo named that is called like a strip or a step of another one's.

    Raises:
        ImageError: two photos of one name, from different folders.
    """
    stems = [photo.stem for photo in photos]

    def is_taken(stem: str) -> bool:
        beside = BESIDE.fullmatch(stem)
        return stems.count(stem) > 1 or (beside is not None and beside["name"] in stems)

    names = {photo: photo.name if is_taken(photo.stem) else photo.stem for photo in photos}
    taken: dict[str, Path] = {}
    for photo, name in names.items():
        if name in taken:
            raise ImageError("Two photos would be written to the same files", got=f"{taken[name]} and {photo}")
        taken[name] = photo
    return names


def check_output_folder(folder: Path, photos: Sequence[Path]) -> None:
    """See that results of photos can be written to a folder, before the work for them; nothing is made yet.

    Raises:
        OutputError: the folder, or the one that it would be made in, cannot be written; or photos are in it.
    """
    if any(photo.parent.resolve() == folder.resolve() for photo in photos):
        raise OutputError(
            "Results would be written among the photos",
            got=folder,
            hint="Choose another output folder, so that no photo is overwritten or taken for one later.",
        )
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        got = f"{there} cannot be written" if there.is_dir() else f"{there} is a file"
        raise OutputError(f"Cannot make the folder {folder}", got=got, hint="Choose another output folder.")
