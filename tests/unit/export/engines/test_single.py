"""An engine of one file: of a person's generator, outside any bundle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BuildError
from hyperstyle_deploy.export.engines.single import build_file
from hyperstyle_deploy.export.engines.targets import Options
from hyperstyle_deploy.runtime.session import load


def generator(path: Path, batch: str = "batch", dtype: int = TensorProto.FLOAT, optional: bool = False) -> Path:
    """Codes [N, 2, 4] to pictures [N, 3, 4, 4], a product."""
    matrix = numpy_helper.from_array(np.ones((8, 48), np.float32), "matrix")
    shapes = [
        numpy_helper.from_array(np.array(shape, np.int64), name)
        for name, shape in (("flat_shape", [-1, 8]), ("image_shape", [-1, 3, 4, 4]))
    ]
    nodes = [
        helper.make_node("Reshape", ["codes", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["pixels"]),
        helper.make_node("Reshape", ["pixels", "image_shape"], ["image"]),
    ]
    inputs = [helper.make_tensor_value_info("codes", dtype, [batch, 2, 4])]
    if optional:
        inputs.append(helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [8, 48]))
    outputs = [helper.make_tensor_value_info("image", dtype, [batch, 3, 4, 4])]
    graph = helper.make_graph(nodes, "generator", inputs, outputs, [matrix, *shapes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.exhaustive
def test_an_engine_appears_when_it_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    graph = generator(tmp_path / "me.onnx")
    built = build_file(graph, tmp_path / "me.engine", "tensorrt-rtx", Options((1, 2, 4), (89,)))
    assert built.bytes == (tmp_path / "me.engine").stat().st_size > 1000
    assert (built.target, built.compute_capabilities) == ("tensorrt-rtx", (89,))
    assert built.to_json()["compute_capabilities"] == [89]
    assert {path.name for path in tmp_path.iterdir()} == {"me.onnx", "me.engine"}


def test_what_no_engine_can_be_built_of(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    for options, match in (
        ({"batch": "people"}, "of another kind"),
        ({"dtype": TensorProto.DOUBLE}, "of another kind"),
        ({"optional": True}, "may be left out"),
    ):
        with pytest.raises(BuildError, match=match):
            build_file(generator(tmp_path / "me.onnx", **options), tmp_path / "me.engine", "tensorrt-rtx")
    with pytest.raises(BuildError, match="Unknown target"):
        build_file(tmp_path / "me.onnx", tmp_path / "me.engine", "tensorflow")
    assert [path.name for path in tmp_path.iterdir()] == ["me.onnx"]


def personalize(bundle: Path, folder: Path, *arguments: str) -> object:
    words = ["personalize", str(bundle), str(folder / "me.inversion"), "-o", str(folder / "me.onnx"), *arguments]
    return CliRunner().invoke(main, words)


def test_styles_and_an_engine_exclude_each_other(toys: Callable[..., Path], tmp_path: Path) -> None:
    result = personalize(toys("hyperstyle"), tmp_path, "--styles", "--engine", str(tmp_path / "me.engine"))
    assert result.exit_code == 2
    assert "--engine or --styles" in result.output


@pytest.mark.exhaustive
def test_the_command_builds_a_persons_engine(tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    session = load(tiny_bundle, backend="onnxruntime")
    session.invert(np.zeros((64, 64, 3), np.uint8), steps=1).save(tmp_path / "me.inversion")
    result = personalize(tiny_bundle, tmp_path, "--engine", str(tmp_path / "me.engine"), "--compute-capability", "89")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "me.engine").stat().st_size > 10_000
