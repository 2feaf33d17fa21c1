"""Finds faces with a BlazeFace network (Bazarevsky et al. 2019) that MediaPipe published, converted to ONNX."""

import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import AlignmentError
from .ffhq import Square, cut, square_of
from .landmarks import Landmarks, features
from .networks import PictureNetwork, only, sigmoid

#: Side of the picture that a network looks at -> its grids of anchors: pixels of a cell, and anchors in each.
_GRIDS = {128: ((8, 2), (16, 6)), 192: ((4, 1),), 256: ((16, 2), (32, 6))}
#: A box, and eyes, nose, mouth and ears.
_POINTS = 6
_NUMBERS = 4 + 2 * _POINTS
#: MediaPipe's: from what score on a face is one, and from what overlap on two are the same.
MIN_SCORE, MIN_OVERLAP = 0.5, 0.3


class FaceDetector:
    """A network that gives every face a box, a score and six points.

    Args:
        path: the ONNX file: pictures of 128, 192 or 256 pixels, values in [-1, 1]; outputs [1, N, 16] and [1, N, 1] for
            the N anchors of that size (MediaPipe's short range, full range and back camera).
        threads: CPU threads; None for ONNX Runtime's choice.

    Raises:
        AlignmentError: the file cannot be read, or is another network.
        BackendError: ONNX Runtime cannot load it.
    """

    def __init__(self, path: "str | os.PathLike[str]", threads: int | None = None) -> None:
        self._network = PictureNetwork(path, threads)
        self._anchors = _anchors(self._network.side)
        count = len(self._anchors)
        self._points_at = only([i for i, shape in enumerate(self._network.outputs) if shape == (count, _NUMBERS)])
        self._scores_at = only([i for i, shape in enumerate(self._network.outputs) if shape == (count,)])
        if not count or min(self._points_at, self._scores_at) < 0:
            raise self._network.refuse("BlazeFace's: 128 or 256 pixels, 896 anchors; 192 pixels, 2304 anchors")
        self.source = f"detector {self._network.source}"

    def find(self, photo: Image.Image, name: str) -> list[Landmarks]:
        """The faces in an upright RGB photo, [6, 2] each, those that look most like one first.

        A face is looked at again in its own square, where the network sees its points larger. What has no square in the
        photo is no face, and what comes to the place of another one is that face again.
        """
        faces: list[Landmarks] = []
        squares: list[Square] = []
        for coarse in self._detect(photo):
            try:
                face = self._again(photo, coarse)
                square = square_of(features(face))
            except AlignmentError:
                continue
            if all(np.hypot(*(square.centre - other.centre)) > other.side / 4 for other in squares):
                faces.append(face)
                squares.append(square)
        return faces

    def _again(self, photo: Image.Image, face: Landmarks) -> Landmarks:
        """The same face as it is seen in its square, or as it was where nothing is seen there.

        Raises:
            AlignmentError: the landmarks are no face's, or outside the photo.
        """
        closer = cut(photo, square_of(features(face)), self._network.side)
        found = self._detect(closer.picture)
        if not found:
            return face
        middle = (closer.crop.size - 1) / 2
        nearest = min(found, key=lambda points: float(np.hypot(*(points.mean(0) - middle))))
        return closer.crop.to_photo((nearest + 0.5) / closer.crop.size) - 0.5

    def _detect(self, photo: Image.Image) -> list[Landmarks]:
        side = self._network.side
        scale = side / max(photo.size)
        width, height = (max(1, round(length * scale)) for length in photo.size)
        picture = Image.new("RGB", (side, side))
        corner = ((side - width) // 2, (side - height) // 2)
        picture.paste(photo.resize((width, height), Image.Resampling.BILINEAR), corner)
        outputs = self._network.run(picture, low=-1.0)
        scores = sigmoid(outputs[self._scores_at])
        likely = np.flatnonzero(scores >= MIN_SCORE)
        # Numbers are pixels from an anchor; a box has its centre and sides.
        numbers = outputs[self._points_at][likely].astype(np.float64).reshape(len(likely), _POINTS + 2, 2)
        numbers[:, [0, *range(2, _POINTS + 2)]] += self._anchors[likely, None]
        faces = _merged(numbers, scores[likely].astype(np.float64))
        return [(points - corner) * (np.array(photo.size) / (width, height)) - 0.5 for points in faces[:, 2:]]


def _anchors(side: int) -> NDArray[np.float64]:
    """The anchors' places in a picture, [N, 2] in pixels: the middles of cells, row by row, grid after grid."""
    grids = []
    for cell, count in _GRIDS.get(side, ()):
        middles = (np.arange(side // cell) + 0.5) * cell
        y, x = np.meshgrid(middles, middles, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, 0))
    return np.concatenate(grids) if grids else np.empty((0, 2))


def _merged(faces: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """One face for all that overlap: their mean, weighted by their scores; the surest first.

    Args:
        faces: [N, P, 2], the first two points a box's centre and sides.
        scores: [N].
    """
    merged = []
    while len(faces):
        same = _overlaps(faces, int(scores.argmax())) >= MIN_OVERLAP
        same[scores.argmax()] = True  # a box without an area overlaps nothing
        merged.append(np.average(faces[same], 0, scores[same]))
        faces, scores = faces[~same], scores[~same]
    return np.array(merged).reshape(len(merged), *faces.shape[1:])


def _overlaps(faces: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    """Intersection over union of every face's box with that of ``one``."""
    centres, sides = faces[:, 0], np.maximum(faces[:, 1], 0)
    low, high = centres - sides / 2, centres + sides / 2
    common = np.maximum(np.minimum(high, high[one]) - np.maximum(low, low[one]), 0).prod(1)
    union = sides.prod(1) + sides[one].prod() - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
