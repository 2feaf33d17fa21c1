"""Places landmarks on a face that was found: FaceMesh (Kartynnik et al. 2019), or a network of its layout."""

import os
from collections.abc import Iterator
from math import prod

import numpy as np
from PIL import Image

from ...errors import AlignmentError
from .faces import FaceFinder
from .ffhq import Square, cut, square_of
from .landmarks import LAYOUTS, Landmarks, features
from .networks import PictureNetwork, only, sigmoid

#: What FaceMesh was trained to look at, from FFHQ's square: how much of its side, and how far below its centre. Its
#: authors take 1.5 times the detector's box, turned by the eyes.
_SHARE, _LOWER = 0.85, 0.07
MIN_SCORE = 0.5


class LandmarkNetwork:
    """A network from the picture of one face to its landmarks.

    Args:
        path: the ONNX file: a square picture, values in [0, 1], to [1, 2 N] or [1, 3 N] numbers, x and y (and z) of
            each of N landmarks in pixels of that picture, N as `landmarks.LAYOUTS` knows them; perhaps with a score,
            one number of which the logistic function says how sure it is of a face.
        threads: CPU threads; None for ONNX Runtime's choice.

    Raises:
        AlignmentError: the file cannot be read, or is another network.
        BackendError: ONNX Runtime cannot load it.
    """

    def __init__(self, path: "str | os.PathLike[str]", threads: int | None = None) -> None:
        self._network = PictureNetwork(path, threads)
        known = {axes * count: count for count in LAYOUTS for axes in (2, 3)}
        sizes = [prod(shape) for shape in self._network.outputs]
        self._points_at = only([i for i, size in enumerate(sizes) if size in known])
        self._scores_at = only([i for i, size in enumerate(sizes) if size == 1])
        if self._points_at < 0:
            raise self._network.refuse(f"2 N or 3 N numbers, N one of {', '.join(map(str, LAYOUTS))}")
        self._count = known[sizes[self._points_at]]
        self.source = f"landmark model {self._network.source}"

    def place(self, photo: Image.Image, face: Landmarks) -> Landmarks | None:
        """The landmarks of a face of an upright RGB photo of which coarse ones are known; None if it is no face.

        Raises:
            AlignmentError: the coarse landmarks are no face's, or outside the photo.
        """
        square = square_of(features(face))
        down = np.array([-square.right[1], square.right[0]])
        seen = cut(photo, Square(square.centre + 2 * _LOWER * down, square.right * _SHARE), self._network.side)
        outputs = self._network.run(seen.picture, low=0.0)
        if self._scores_at >= 0 and not sigmoid(outputs[self._scores_at]) >= MIN_SCORE:
            return None
        points = outputs[self._points_at].reshape(self._count, -1)[:, :2].astype(np.float64)
        return seen.crop.to_photo(points / self._network.side) - 0.5


class Refined:
    """A finder whose faces get the landmarks of a network, twice: the second time it looks at them upright."""

    def __init__(self, finder: FaceFinder, network: LandmarkNetwork) -> None:
        self._finder, self._network = finder, network
        self.source = f"{finder.source}, {network.source}"

    def find(self, photo: Image.Image, name: str) -> list[Landmarks]:
        """The faces of the finder that are faces to the network too."""
        return list(self._placed(photo, self._finder.find(photo, name)))

    def _placed(self, photo: Image.Image, faces: list[Landmarks]) -> Iterator[Landmarks]:
        for face in faces:
            try:
                first = self._network.place(photo, face)
                second = None if first is None else self._network.place(photo, first)
            except AlignmentError:
                if len(faces) == 1:
                    raise
                continue  # of several faces, one that is none
            if second is not None:
                yield second
