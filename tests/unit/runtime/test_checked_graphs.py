"""Backends run the graphs that were checked, whatever becomes of the files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.session import load


def changed(toys: Callable[..., Path], folder: Path) -> Path:
    return shutil.copytree(toys(), folder / "toy.bundle")


def test_onnx_runtime_does_not_read_a_graph_again(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle = changed(toys, tmp_path)
    with load(bundle, backend="onnxruntime") as session:
        for graph in bundle.glob("*.onnx"):
            graph.write_bytes(b"something else")
        found = session.invert(PHOTO, steps=1)
        drawn = session.edit(found, [{}])  # by a graph that is loaded now
    with load(toys(), backend="onnxruntime") as session:
        np.testing.assert_array_equal(drawn, session.edit(found, [{}]))


def test_openvino_is_given_no_graph_that_changed(toys: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    bundle = changed(toys, tmp_path)
    with load(bundle, backend="openvino") as session:
        found = session.invert(PHOTO, steps=1)
        (bundle / "synthesis.onnx").write_bytes((bundle / "encoder.onnx").read_bytes())
        with pytest.raises(BackendError, match=r"cannot load synthesis. Got: .* is not the one that was exported"):
            session.edit(found, [{}, {}])
