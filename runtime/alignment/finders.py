"""Where a program's faces come from: one of the ways to find them, as users name it."""

import os
from collections.abc import Sequence

from ...errors import AlignmentError
from .detector import FaceDetector
from .faces import FaceFinder
from .given import GivenBox, GivenLandmarks
from .mesh import LandmarkNetwork, Refined


def open_finder(
    landmarks: "str | os.PathLike[str] | None" = None,
    box: Sequence[float] | None = None,
    detector: "str | os.PathLike[str] | None" = None,
    landmark_model: "str | os.PathLike[str] | None" = None,
    threads: int | None = None,
) -> FaceFinder:
    """What finds the faces of photos.

    Args:
        landmarks: a JSON file of them, see `GivenLandmarks.read`.
        box: left, upper, right and lower edge of the one face, see `GivenBox`.
        detector: an ONNX file, see `FaceDetector`.
        landmark_model: an ONNX file that places landmarks on the face of the box or of the detector, see
            `LandmarkNetwork`; without it the box's average face, or the detector's own six points, serve.
        threads: CPU threads of the networks.

    Raises:
        AlignmentError: not one of landmarks, box and detector; or what they name cannot be used.
        BackendError: ONNX Runtime cannot load a network.
    """
    if sum(way is not None for way in (landmarks, box, detector)) != 1 or (landmarks and landmark_model):
        given = {"landmarks": landmarks, "box": box, "detector": detector, "landmark model": landmark_model}
        raise AlignmentError(
            "It is not clear where the faces are",
            got=" and ".join(name for name, way in given.items() if way is not None) or "nothing",
            expected="landmarks, or a box, or a detector; with the last two perhaps a landmark model",
        )
    if landmarks is not None:
        return GivenLandmarks.read(landmarks)
    finder: FaceFinder
    if box is not None:
        finder = GivenBox(box)
    else:
        assert detector is not None
        finder = FaceDetector(detector, threads)
    return finder if landmark_model is None else Refined(finder, LandmarkNetwork(landmark_model, threads))
