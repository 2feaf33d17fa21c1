"""Small ONNX graphs that see a face where a photo has a red, a green and a blue dot: two eyes and a mouth."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

#: Eyes, nose, mouth's corners, the last two at one place: what the landmark graph gives for `dots`.
DOTS = np.array([[80.0, 90.0], [120.0, 90.0], [100.0, 110.0], [100.0, 134.0], [100.0, 134.0]])


def dots(*faces: np.ndarray, size: tuple[int, int] = (300, 260)) -> Image.Image:
    """A black photo with the dots of faces; points as ``DOTS``, whole numbers being the middles of pixels."""
    photo = Image.new("RGB", (size[0] * 4, size[1] * 4))
    draw = ImageDraw.Draw(photo)
    for points in faces:
        radius = 0.4 * np.hypot(*(points[1] - points[0]))
        for point, colour in zip(points[[0, 1, 3]], ("#f00", "#0f0", "#00f"), strict=True):
            x, y = point * 4 + 1.5
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return photo.reduce(4)


def landmark_graph(
    path: Path, side: int = 64, channels_first: bool = True, name: str = "points", axes: int = 2
) -> Path:
    """[1, 5 axes] numbers, the centroids of colours as `DOTS` has them, and a score: is there any blue?"""
    return _write(path, side, channels_first, _Graph(side).landmarks(axes))


def detector_graph(path: Path, side: int = 128, anchors: int = 896, numbers: int = 16) -> Path:
    """BlazeFace's outputs: one anchor has the face that the dots make, if there is any blue."""
    return _write(path, side, True, _Graph(side).detector(anchors, numbers))


class _Graph:
    def __init__(self, side: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._side = side

    def add(self, operator: str, *inputs: "str | np.ndarray", **attributes: object) -> str:
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        output = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def constant(self, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, f"constant{len(self.constants)}"))
        return self.constants[-1].name

    def give(self, value: str, name: str, shape: list[int]) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def centroids(self, pixels: str) -> tuple[str, str]:
        """[3, 2] centroids of the channels of [1, 3, S, S] values from 0 to 1, edges at 0; [3] sums."""
        flat = self.add("Reshape", pixels, np.array([3, -1]))
        places = np.stack(np.mgrid[: self._side, : self._side][::-1], 2).reshape(-1, 2).astype(np.float32) + 0.5
        sums = self.add("ReduceSum", flat, np.array([1]), keepdims=1)
        safe = self.add("Max", sums, np.array([[1e-3]], np.float32))
        return self.add("Div", self.add("MatMul", flat, places), safe), sums

    def score(self, sums: str) -> str:
        """A logit: more than a pixel of blue or not."""
        blue = self.add("Gather", sums, np.array([2]))
        return self.add("Mul", self.add("Sub", blue, np.array([[1.0]], np.float32)), np.array([[9.0]], np.float32))

    def landmarks(self, axes: int) -> "_Graph":
        points, sums = self.centroids("picture01")
        five = self.add("Gather", points, np.array([0, 1, 2, 2, 2]))
        if axes == 3:
            five = self.add("Concat", five, np.zeros((5, 1), np.float32), axis=1)
        self.give(self.add("Reshape", five, np.array([1, -1, 1, 1])), "points", [1, 5 * axes, 1, 1])
        self.give(self.add("Reshape", self.score(sums), np.array([1, 1])), "score", [1, 1])
        return self

    def detector(self, anchors: int, numbers: int) -> "_Graph":
        half = np.array([0.5], np.float32)
        points, sums = self.centroids(self.add("Add", self.add("Mul", "picture01", half), half))
        six = self.add("Gather", points, np.array([2, 0, 1, 2, 2, 0, 1]))  # the box's centre first
        cell = self._side / 16 if self._side != 192 else 4
        moved = self.add("Sub", six, np.full((1, 2), cell / 2, np.float32))  # the first anchor's place
        sides = np.full((1, 2), self._side / 8, np.float32)
        box = self.add("Slice", moved, np.array([0]), np.array([1]))
        rest = self.add("Slice", moved, np.array([1]), np.array([7]))
        row = self.add("Reshape", self.add("Concat", box, sides, rest, axis=0), np.array([1, 1, 16]))
        rows = self.add("Concat", row, np.zeros((1, anchors - 1, 16), np.float32), axis=1)
        kept = self.add("Slice", rows, np.array([0]), np.array([numbers]), np.array([2]))
        self.give(kept, "regressors", [1, anchors, numbers])
        score = self.add("Reshape", self.score(sums), np.array([1, 1, 1]))
        scores = self.add("Concat", score, np.full((1, anchors - 1, 1), -50, np.float32), axis=1)
        self.give(scores, "classificators", [1, anchors, 1])
        return self


def _write(path: Path, side: int, channels_first: bool, graph: _Graph) -> Path:
    first = helper.make_node("Transpose", ["picture"], ["picture01"], perm=[0, 3, 1, 2])
    if channels_first:
        first = helper.make_node("Identity", ["picture"], ["picture01"])
    shape = [1, 3, side, side] if channels_first else [1, side, side, 3]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)
    made = helper.make_graph([first, *graph.nodes], "face", [picture], graph.outputs, graph.constants)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
