"""Identity by a small network of known colours, and files that are no such network."""

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.quality.identity import BOX, open_identity

SIZE = 64


def recogniser(
    path: Path,
    side: int = 112,
    size: int = SIZE,
    first: bool = True,
    batch: object = "batch",
    outputs: int = 1,
    operator: str = "GlobalAveragePool",
    scale: float = 1.0,
) -> Path:
    """``matrix @ mean colour``: an embedding that knows colours alone."""
    shape = [batch, 3, side, side] if first else [batch, side, side, 3]
    matrix = scale * np.random.default_rng(0).standard_normal((3, size)).astype(np.float32)
    nodes = [] if first else [helper.make_node("Transpose", ["input"], ["turned"], perm=[0, 3, 1, 2])]
    nodes += [
        helper.make_node(operator, ["input" if first else "turned"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
        *(helper.make_node("Identity", ["embedding"], [f"more{i}"]) for i in range(outputs - 1)),
    ]
    names = ["embedding", *(f"more{i}" for i in range(outputs - 1))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size]) for name in names]
    start = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "recogniser", [start], ends, [numpy_helper.from_array(matrix, "matrix")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def plain(*colour: float) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, 256, 256)).copy()


@pytest.mark.parametrize("options", [{}, {"first": False}, {"batch": 1}])
def test_the_cosine_of_two_embeddings(tmp_path: Path, options: dict) -> None:
    measure = open_identity(recogniser(tmp_path / "id.onnx", **options))
    matrix = np.random.default_rng(0).standard_normal((3, SIZE)).astype(np.float32)
    # 8 bits on the way: colours that they have.
    one, other = np.array([51, 102, 255]) / 127.5 - 1, np.array([0, 204, 153]) / 127.5 - 1
    expected = (one @ matrix) @ (other @ matrix) / np.linalg.norm(one @ matrix) / np.linalg.norm(other @ matrix)
    assert measure(plain(*one), plain(*other)) == pytest.approx(expected, abs=1e-5)
    assert measure(plain(*one), plain(*one)) == pytest.approx(1, abs=1e-6)


def test_the_middle_of_the_face_counts(tmp_path: Path) -> None:
    measure = open_identity(recogniser(tmp_path / "id.onnx"))
    left, upper, right, lower = BOX
    face, border = plain(0.6, -0.2, 0.2), plain(-1, 1, -1)
    border[:, upper:lower, left:right] = face[:, upper:lower, left:right]
    assert measure(border, face) == pytest.approx(1, abs=1e-6)
    border[:, upper : upper + 90] = plain(-1, 1, -1)[:, :90]
    assert measure(border, face) < 0.9


def test_an_embedding_of_no_length_has_no_value(tmp_path: Path) -> None:
    measure = open_identity(recogniser(tmp_path / "id.onnx", scale=0))
    assert math.isnan(measure(plain(1, 0, 0), plain(0, 1, 0)))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"side": 128}, r"another layout\. Got: pictures of 128 pixels.*Expected: pictures of 112"),
        ({"size": 3}, "another layout"),
        ({"size": 5000}, "another layout"),
        ({"outputs": 2}, "another layout"),
        ({"operator": "NonZero"}, "no network that can be used.*NonZero"),
        ({"batch": None, "side": "side"}, "no network of pictures"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, options: dict, match: str) -> None:
    with pytest.raises(BackendError, match=match):
        open_identity(recogniser(tmp_path / "id.onnx", **options))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a graph")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(BackendError):
            open_identity(tmp_path / name)


def test_the_command(tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for index, colour in enumerate(((200, 30, 60), (20, 160, 90))):
            Image.new("RGB", (256, 256), colour).save(tmp_path / folder / f"{index}.png")
    arguments = ["evaluate", str(tmp_path / "in"), str(tmp_path / "out"), "--json", "--identity"]
    result = CliRunner().invoke(main, [*arguments, str(recogniser(tmp_path / "id.onnx"))])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [picture["id"] for picture in document["pictures"]] == pytest.approx([1, 1])
    assert document["summary"]["id"]["count"] == 2
    result = CliRunner().invoke(main, [*arguments, str(tmp_path / "in" / "0.png")])
    assert result.exit_code == 2
    assert "0.png" in result.stderr
