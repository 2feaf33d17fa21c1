"""Faces that the user gives: a JSON file of landmarks, or a box around a face."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import AlignmentError
from ..bundle.files import open_plain
from ..manifest import strict_json
from .landmarks import Landmarks, checked_landmarks

#: Of a file of landmarks: some 50,000 faces of 68 points.
MAX_BYTES = 64 << 20
#: Where an average face has its eyes, nose and corners of the mouth in a box from brows to chin and cheek to cheek, in
#: shares of its sides: read off the 68 landmarks of the test data's upright face.
_IN_BOX = ((0.28, 0.21), (0.72, 0.21), (0.5, 0.5), (0.32, 0.67), (0.68, 0.67))


class GivenLandmarks:
    """The faces of photos by the photos' file names, or those of any photo under the name "".

    ``source`` says where they are from.
    """

    def __init__(self, faces: Mapping[str, Sequence[Landmarks]], source: str) -> None:
        self._faces, self.source = faces, source

    @classmethod
    def read(cls, path: "str | os.PathLike[str]") -> "GivenLandmarks":
        """Read a JSON file.

        It holds a face, that is a list of points ``[x, y]``; or a list of faces; or an object that has one of these for
        every photo's file name. Points are in pixels of the upright photo, as many as `landmarks.LAYOUTS` knows.

        Raises:
            AlignmentError: it cannot be read, is larger than 64 MiB, or holds something else.
        """
        try:
            with open_plain(Path(path)) as stream:
                content = stream.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            document = strict_json.parse(content)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise AlignmentError(f"Cannot read landmarks from {path}", got=reason, expected="a JSON file") from error
        named = document if isinstance(document, dict) else {"": document}
        faces = {name: _faces(value, f"The landmarks of {name or 'photos'} in {path}") for name, value in named.items()}
        return cls(faces, f"landmarks {hashlib.sha256(content).hexdigest()}")

    def find(self, photo: Image.Image, name: str) -> list[Landmarks]:
        """The faces of a photo.

        Raises:
            AlignmentError: there is nothing for a photo of this name.
        """
        faces = self._faces.get(name, self._faces.get(""))
        if faces is None:
            names = ", ".join(list(self._faces)[:5]) or "none"
            raise AlignmentError(
                f"There are no landmarks for {name}", got=f"those of {names}", expected="its file name"
            )
        return list(faces)


class GivenBox:
    """One face in a box, upright, with its eyes and mouth where an average face has them.

    Args:
        box: left, upper, right and lower edge in pixels of the upright photo: from brows to chin, cheek to cheek.

    Raises:
        AlignmentError: four numbers that are no box.
    """

    def __init__(self, box: Sequence[float]) -> None:
        edges = np.asarray(box, np.float64)
        if edges.shape != (4,) or not np.isfinite(edges).all() or (edges[2:] <= edges[:2]).any():
            raise AlignmentError("That is no box", got=list(box), expected="left, upper, right, lower edge, rising")
        # Edges count from the outer edge of the first pixel, landmarks from its middle.
        self._landmarks = edges[:2] + np.array(_IN_BOX) * (edges[2:] - edges[:2]) - 0.5
        self.source = f"box {','.join(f'{edge:g}' for edge in edges)}"

    def find(self, photo: Image.Image, name: str) -> list[Landmarks]:
        """The landmarks of the face in the box."""
        return [self._landmarks]


def _faces(value: Any, name: str) -> list[Landmarks]:
    """A face or a list of them; what begins with a point is a face."""
    is_face = isinstance(value, list) and bool(value) and _is_point(value[0])
    faces = [value] if is_face else value
    if not isinstance(faces, list) or not all(isinstance(face, list) and all(map(_is_point, face)) for face in faces):
        raise AlignmentError(f"{name} are no list of points", expected="[[x, y], ...], or a list of such lists")
    return [checked_landmarks(face, name) for face in faces]


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(number) in (int, float) for number in value)
