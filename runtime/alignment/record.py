"""Where alignments are kept: in inversions of aligned photos, and in files beside aligned pictures."""

import os
from pathlib import Path

from ...errors import AlignmentError, InversionError
from ..bundle.files import open_plain
from ..bundle.inversion import Inversion
from .crop import MAX_TEXT, Crop

#: What an inversion's `source` calls its photo's alignment.
ALIGNMENT = "alignment"


def crop_of(inversion: Inversion) -> Crop:
    """Where in its photo an inverted face was.

    Raises:
        AlignmentError: the inversion has none, or a damaged one.
    """
    if ALIGNMENT not in inversion.source:
        hint = "Invert the photo with --align."
        raise AlignmentError("The inversion keeps no alignment", expected="that of an aligned photo", hint=hint)
    return Crop.parse(inversion.source[ALIGNMENT])


def read_crop(path: "str | os.PathLike[str]") -> Crop:
    """The alignment in an inversion's file, or in the JSON file that `align` wrote.

    Raises:
        AlignmentError: there is no such file, or it keeps no alignment.
    """
    try:
        with open_plain(Path(path)) as stream:
            start = stream.read(MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AlignmentError(f"Cannot read {path}", got=reason, expected="an inversion, or what align wrote") from error
    if start.lstrip()[:1] == b"{":
        return Crop.parse(start)
    try:
        return crop_of(Inversion.load(path))
    except InversionError as error:
        raise AlignmentError(f"{path} keeps no alignment", got=error, expected="an inversion, or JSON") from error
