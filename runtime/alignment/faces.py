"""The faces of a photo, however they are found, as aligned pictures: which is which, and what if there is none."""

from typing import Protocol

from PIL import Image

from ...errors import AlignmentError
from .ffhq import Aligned, cut, square_of
from .landmarks import Landmarks, features


class FaceFinder(Protocol):
    """Says where in photos faces are.

    ``source`` says from what it knows, with checksums: finders of one source find the same.
    """

    @property
    def source(self) -> str: ...

    def find(self, photo: Image.Image, name: str) -> list[Landmarks]:
        """The landmarks of every face in an upright RGB photo; ``name`` is its file's."""
        ...


def align_faces(finder: FaceFinder, photo: Image.Image, name: str, size: int) -> list[Aligned]:
    """Every face of an upright RGB photo, the largest first.

    Raises:
        AlignmentError: there is none, or landmarks that are no face's.
    """
    squares = [square_of(features(face)) for face in finder.find(photo, name)]
    if not squares:
        hint = "Draw a box around it (--box), or give its landmarks (--landmarks)."
        raise AlignmentError(f"There is no face in {name}", expected="at least one", hint=hint)
    return [cut(photo, square, size) for square in sorted(squares, key=lambda square: -square.side)]


def align_face(finder: FaceFinder, photo: Image.Image, name: str, size: int, number: int = 1) -> Aligned:
    """The face of that number of an upright RGB photo; 1 is the largest.

    Raises:
        AlignmentError: the photo has fewer, or landmarks that are no face's.
    """
    faces = align_faces(finder, photo, name, size)
    if not 1 <= number <= len(faces):
        raise AlignmentError(f"{name} has no face {number}", got=f"{len(faces)} faces", expected=f"1 to {len(faces)}")
    return faces[number - 1]
