"""What alignment needs of a face, its eyes and its mouth, out of the landmarks that networks and tools give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import AlignmentError

#: Landmarks as computed here: (x, y) in pixels of the upright photo, [N, 2] float64. Whole numbers are the middles of
#: pixels, as detectors count them.
Landmarks = NDArray[np.float64]
Point = NDArray[np.float64]
#: No picture has so many pixels a side, and squares of it are exact.
MOST = 1e6


@dataclass(frozen=True)
class Layout:
    """Which landmarks make an eye or the mouth: a feature is the mean of its points. Left is left in the picture."""

    name: str
    left_eye: Sequence[int]
    right_eye: Sequence[int]
    mouth: Sequence[int]


#: By the number of points. In FaceMesh the eyes are the six points that stand where those of the 68 do.
LAYOUTS = {
    68: Layout("the 68 of iBUG 300-W, as dlib gives them", range(36, 42), range(42, 48), (48, 54)),
    5: Layout("eyes, nose, mouth's corners", (0,), (1,), (3, 4)),
    6: Layout("BlazeFace's: eyes, nose, mouth, ears", (0,), (1,), (3,)),
    468: Layout("FaceMesh's", (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291)),
}
LAYOUTS[478] = LAYOUTS[468]  # with the irises behind


@dataclass(frozen=True)
class Features:
    """Where a face's eyes and mouth are, [2] float64 each, in the landmarks' pixels."""

    left_eye: Point
    right_eye: Point
    mouth: Point


def features(landmarks: ArrayLike) -> Features:
    """The features of a face from its landmarks, [N, 2] of a layout that is known by N.

    Raises:
        AlignmentError: another shape, or values that are no pixels'.
    """
    points = checked_landmarks(landmarks)
    layout = LAYOUTS[len(points)]
    parts = (layout.left_eye, layout.right_eye, layout.mouth)
    return Features(*(points[list(part)].mean(0) for part in parts))


def checked_landmarks(landmarks: ArrayLike, name: str = "Landmarks") -> Landmarks:
    """Landmarks as float64; ``name`` is what errors call them.

    Raises:
        AlignmentError: another shape than [N, 2] with a known N, NaN or Inf in it, or values beyond a million.
    """
    try:
        points = np.asarray(landmarks, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise AlignmentError(f"{name} are no array of numbers", expected="[N, 2]: x and y a point") from error
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in LAYOUTS:
        known = "; ".join(f"{count}: {layout.name}" for count, layout in LAYOUTS.items())
        raise AlignmentError(f"{name} have the wrong shape", got=list(points.shape), expected=f"[N, 2], N of {known}")
    if not np.isfinite(points).all():
        raise AlignmentError(f"{name} have NaN or Inf in them", expected="finite numbers")
    if np.abs(points).max() > MOST:
        raise AlignmentError(f"{name} are in no picture", got=f"{np.abs(points).max():.3g}", expected=f"up to {MOST:g}")
    return points
