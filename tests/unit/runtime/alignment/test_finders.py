"""Where faces come from: files of landmarks, boxes, networks; and which face is meant where there are several."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hyperstyle_deploy.errors import AlignmentError, BackendError
from hyperstyle_deploy.runtime.alignment import align_face, align_faces, open_finder
from hyperstyle_deploy.runtime.alignment.detector import FaceDetector, _merged
from hyperstyle_deploy.runtime.alignment.ffhq import square_of
from hyperstyle_deploy.runtime.alignment.landmarks import features
from hyperstyle_deploy.tests.unit.runtime.alignment.face_graphs import DOTS, detector_graph, dots, landmark_graph

FACE = DOTS.tolist()
SMALL = (DOTS * 0.5 + (150, 20)).tolist()
#: Turned by some 30 degrees and a little larger.
TURNED = (DOTS - 100) @ (1.2 * np.array([[0.87, 0.5], [-0.5, 0.87]])) + (140, 120)


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (FACE, [FACE]),
        ([SMALL, FACE], [SMALL, FACE]),
        ({"a.jpg": FACE, "b.jpg": SMALL}, [FACE]),
        ({"a.jpg": [SMALL, FACE]}, [SMALL, FACE]),
        ({"a.jpg": []}, []),
    ],
)
def test_files_of_landmarks(document: object, expected: object, tmp_path: Path) -> None:
    finder = open_finder(landmarks=written(tmp_path / "faces.json", document))
    found = finder.find(dots(), "a.jpg")
    assert [face.tolist() for face in found] == expected
    assert finder.source.startswith("landmarks ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Cannot read"),
        (b"[[1, 2], [3, NaN]]", "NaN is no number"),
        (b"[[1, 2], [3, 1e400]]", "beyond the numbers"),
        (b"17", "no list of points"),
        (b"{}", "There are no landmarks for a.jpg"),
        (b'{"a.jpg": 3}', "landmarks of a.jpg in .* are no list of points"),
        (b"[[1, 2, 3]]", "no list of points"),
        (b"[[[1, 2], [true, 4]]]", "no list of points"),
        (b'[[1, 2], ["3", 4]]', "no list of points"),
        (b"[[1, 2], [3, 4]]", "wrong shape"),
        (b"[[[1, 2], [3, 4]], []]", "wrong shape"),
        (b"[[1, 2], [3, 4], [5, 6], [7, 8], [9, 1e300]]", "in no picture"),
        (b'{"b.jpg": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}', "There are no landmarks for a.jpg"),
    ],
)
def test_files_that_hold_no_landmarks(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "faces.json").write_bytes(content)
    with pytest.raises(AlignmentError, match=message):
        open_finder(landmarks=tmp_path / "faces.json").find(dots(), "a.jpg")


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("none.json", "pipe", "."):
        with pytest.raises(AlignmentError, match="Cannot read"):
            open_finder(landmarks=tmp_path / name)
        with pytest.raises(AlignmentError, match="Cannot read"):
            open_finder(detector=tmp_path / name)


def test_a_box_holds_an_upright_average_face() -> None:
    (face,) = open_finder(box=(50, 40, 150, 140)).find(dots(), "a.jpg")
    square = square_of(features(face))
    assert square.right[1] == pytest.approx(0)
    assert square.side == pytest.approx(176, abs=1)
    assert square.centre[0] == pytest.approx(99.5)
    assert 50 < square.centre[1] < 90


@pytest.mark.parametrize(
    "box", [(1, 2, 3), (5, 5, 5, 9), (9, 5, 5, 9), (0, 0, float("nan"), 9), (0, 0, float("inf"), 9)]
)
def test_boxes_have_an_area(box: tuple[float, ...]) -> None:
    with pytest.raises(AlignmentError, match="no box"):
        open_finder(box=box)


def test_faces_come_from_one_source(tmp_path: Path) -> None:
    landmarks = written(tmp_path / "faces.json", FACE)
    for ways, got in (
        ({}, "nothing"),
        ({"landmark_model": "x"}, "landmark model"),
        ({"box": (0, 0, 1, 1), "landmarks": landmarks}, "landmarks and box"),
        ({"landmark_model": "x", "landmarks": landmarks}, "landmarks and landmark model"),
    ):
        with pytest.raises(AlignmentError, match=f"not clear where the faces are. Got: {got}\\."):
            open_finder(**ways)


def test_the_largest_face_is_the_first(tmp_path: Path) -> None:
    photo, finder = dots(), open_finder(landmarks=written(tmp_path / "faces.json", [SMALL, FACE]))
    large, small = align_faces(finder, photo, "a.jpg", 64)
    assert large.crop.side == pytest.approx(2 * small.crop.side)
    assert align_face(finder, photo, "a.jpg", 64).crop == large.crop
    assert align_face(finder, photo, "a.jpg", 64, 2).crop == small.crop
    for number in (0, 3):
        with pytest.raises(AlignmentError, match=f"has no face {number}. Got: 2 faces"):
            align_face(finder, photo, "a.jpg", 64, number)
    with pytest.raises(AlignmentError, match="There is no face in a"):
        align_faces(open_finder(landmarks=written(tmp_path / "none.json", [])), photo, "a.jpg", 64)


@pytest.mark.parametrize("face", [DOTS, TURNED, DOTS * 0.6])
@pytest.mark.parametrize(("side", "anchors"), [(128, 896), (192, 2304), (256, 896)])
def test_a_detector_finds_the_dots(face: np.ndarray, side: int, anchors: int, tmp_path: Path) -> None:
    finder = open_finder(detector=detector_graph(tmp_path / "detector.onnx", side, anchors))
    (found,) = finder.find(dots(face), "a.jpg")
    assert np.abs(found[[0, 1, 3]] - face[[0, 1, 3]]).max() < 0.4
    assert finder.find(dots(), "a.jpg") == []


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_landmark_network_corrects_what_was_found(channels_first: bool, axes: int, tmp_path: Path) -> None:
    """From a box beside the face, whose average face is upright, to the turned one."""
    network = landmark_graph(tmp_path / "mesh.onnx", 64, channels_first, axes=axes)
    box = (*TURNED.min(0) - 12, *TURNED.max(0) + 5)
    (guess,) = open_finder(box=box).find(dots(TURNED), "a.jpg")
    finder = open_finder(box=box, landmark_model=network)
    (found,) = finder.find(dots(TURNED), "a.jpg")
    off = np.abs(guess[[0, 1, 3]] - TURNED[[0, 1, 3]]).max()
    assert np.abs(found[[0, 1, 3]] - TURNED[[0, 1, 3]]).max() < min(0.5, off / 10)
    assert finder.source.split()[0] == "box"
    assert "landmark model" in finder.source


def test_a_landmark_network_drops_what_is_no_face(tmp_path: Path) -> None:
    network = landmark_graph(tmp_path / "mesh.onnx")
    assert open_finder(box=(70, 60, 130, 150), landmark_model=network).find(dots(), "a.jpg") == []


def test_a_box_outside_the_photo_is_told_by_the_network_too(tmp_path: Path) -> None:
    network = landmark_graph(tmp_path / "mesh.onnx")
    with pytest.raises(AlignmentError, match="outside the photo"):
        open_finder(box=(700, 60, 900, 150), landmark_model=network).find(dots(DOTS), "a.jpg")


def test_detections_that_are_no_faces_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All points in one place, NaN, outside the photo; and a second look that ends at a face that is there already."""
    finder = FaceDetector(detector_graph(tmp_path / "detector.onnx"))
    six = DOTS[[0, 1, 2, 3, 0, 1]]
    nothing = [np.full((6, 2), 90.0), np.full((6, 2), np.nan), six + 900]
    monkeypatch.setattr(finder, "_detect", lambda photo: [*nothing, six, six + 3] if photo.size == (300, 260) else [])
    (found,) = finder.find(dots(DOTS), "a.jpg")
    assert (found == six).all()


def test_detections_of_one_face_are_one() -> None:
    faces = np.zeros((4, 8, 2))
    faces[:, 0], faces[:, 1] = [[50, 50], [52, 50], [100, 100], [9, 9]], [[20, 20], [20, 20], [10, 10], [0, 0]]
    faces[:, 2:] = faces[:, :1]
    merged = _merged(faces, np.array([0.6, 0.9, 0.7, 0.5]))
    assert np.allclose(merged[:, 0], [[51.2, 50], [100, 100], [9, 9]])
    assert np.allclose(merged[:, 7], merged[:, 0])
    assert _merged(np.zeros((0, 8, 2)), np.zeros(0)).shape == (0, 8, 2)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    detector, mesh = detector_graph(tmp_path / "detector.onnx"), landmark_graph(tmp_path / "mesh.onnx")
    with pytest.raises(AlignmentError, match=r"another layout\. Got: pictures of 64 pixels to outputs of"):
        open_finder(detector=mesh)
    with pytest.raises(AlignmentError, match="another layout"):
        open_finder(box=(0, 0, 9, 9), landmark_model=detector)
    for name, options in {"side": {"side": 96}, "anchors": {"anchors": 800}, "numbers": {"numbers": 14}}.items():
        with pytest.raises(AlignmentError, match="another layout"):
            open_finder(detector=detector_graph(tmp_path / f"{name}.onnx", **options))
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(AlignmentError, match="is no network that can be used"):
        open_finder(detector=tmp_path / "no.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(BackendError, match="cannot load"):
        open_finder(detector=tmp_path / "empty.onnx")


def test_networks_pad_and_resize_and_have_no_other_strange_operators(tmp_path: Path) -> None:
    model = onnx.load(detector_graph(tmp_path / "detector.onnx"))
    for operator, is_refused in {"Loop": True, "Pad": False, "Resize": False}.items():
        model.graph.node[0].op_type = operator
        (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
        # What may be there is ONNX Runtime's affair, which misses the operator's other inputs.
        with pytest.raises(
            AlignmentError if is_refused else BackendError, match="no network" if is_refused else "load"
        ):
            open_finder(detector=tmp_path / "other.onnx")


def test_networks_name_no_other_files(tmp_path: Path) -> None:
    model = onnx.load(detector_graph(tmp_path / "detector.onnx"))
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="values", size_threshold=0)
    with pytest.raises(AlignmentError, match=r"is not one file\. Got: values in values"):
        open_finder(detector=tmp_path / "two.onnx")


@pytest.mark.parametrize("shape", [[1, 3, 64], [1, 1, 64, 64], [1, 3, 64, 32], ["N", 3, "H", "W"]])
def test_networks_look_at_one_square_picture(shape: list[object], tmp_path: Path) -> None:
    model = onnx.load(landmark_graph(tmp_path / "mesh.onnx"))
    picture = onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, shape)
    node = onnx.helper.make_node("Identity", ["picture"], ["points"])
    points = onnx.helper.make_tensor_value_info("points", onnx.TensorProto.FLOAT, shape)
    onnx.save(
        onnx.helper.make_model(
            onnx.helper.make_graph([node], "other", [picture], [points]),
            opset_imports=model.opset_import,
            ir_version=model.ir_version,
        ),
        tmp_path / "other.onnx",
    )
    with pytest.raises(AlignmentError, match="no network of pictures"):
        open_finder(detector=tmp_path / "other.onnx")


def test_several_dots_faces_in_a_file_are_aligned_alike(tmp_path: Path) -> None:
    """A crop of a face does not depend on which other faces the photo has."""
    other = np.add(DOTS, (100, 60))
    photo = dots(DOTS, other)
    both = open_finder(landmarks=written(tmp_path / "two.json", [FACE, other.tolist()]))
    one = open_finder(landmarks=written(tmp_path / "one.json", FACE))
    first = align_faces(both, photo, "a.jpg", 64)[0]
    assert first.picture.tobytes() == align_faces(one, photo, "a.jpg", 64)[0].picture.tobytes()
    assert isinstance(first.picture, Image.Image)
