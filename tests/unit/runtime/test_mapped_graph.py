"""Backends run the graphs that were checked, whatever becomes of the files, and find their constants in memory."""

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hyperstyle_deploy.demo import PHOTO
from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.mapped_graph import with_mapped_constants
from hyperstyle_deploy.runtime.session import load

CONSTANTS = np.arange(40, dtype=np.float32)
FILES = {"constants": CONSTANTS.view(np.uint8)}


def model_with(**place: object) -> onnx.ModelProto:
    """A model with one constant at that place of its file, another in the graph, and a node long enough for lengths."""
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "constants", **place}.items():
        outside.external_data.add(key=key, value=str(value))
    here = helper.make_tensor("v", TensorProto.FLOAT, [50], np.arange(50, dtype=np.float32))
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])
    nodes = [helper.make_node("Constant", [], ["k"], value=outside), helper.make_node("Add", ["w", "v"], ["z" * 300])]
    return helper.make_model(helper.make_graph(nodes, "main", [], [result], [outside, here]))


def test_constants_are_found_in_memory() -> None:
    model = model_with(offset=16, length=20, checksum="of something")
    content = with_mapped_constants(model.SerializeToString(), FILES)
    mapped = onnx.load_from_string(content)
    for tensor in (mapped.graph.initializer[0], mapped.graph.node[0].attribute[0].t):
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert set(place) == {"location", "offset", "length"}
        assert ctypes.string_at(int(place["offset"]), int(place["length"])) == CONSTANTS[4:9].tobytes()
        del tensor.external_data[:]
    for tensor in (model.graph.initializer[0], model.graph.node[0].attribute[0].t):
        del tensor.external_data[:]
    assert mapped == model


@pytest.mark.parametrize(
    "place",
    [
        *({}, {"offset": 0}, {"length": 4}, {"offset": -4, "length": 4}, {"offset": "4 ", "length": 4}),
        *({"offset": 157, "length": 4}, {"offset": 0, "length": 161}, {"offset": "9" * 30, "length": 0}),
        *({"offset": "٣", "length": 4}, {"offset": 0, "length": "0x4"}),
    ],
)
def test_a_place_beyond_a_file_is_refused(place: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="constants"):
        with_mapped_constants(model_with(**place).SerializeToString(), FILES)


@pytest.mark.parametrize("backend", available())
def test_a_graph_that_changes_later_is_not_read(toys: Callable[..., Path], tmp_path: Path, backend: str) -> None:
    bundle = shutil.copytree(toys(), tmp_path / "toy.bundle")
    with load(bundle, backend=backend) as session:
        for graph in bundle.glob("*.onnx"):
            graph.write_bytes(b"something else")
        found = session.invert(PHOTO, steps=1)
        drawn = session.edit(found, [{}])  # by a graph that is loaded now
    with load(toys(), backend=backend) as session:
        np.testing.assert_array_equal(drawn, session.edit(found, [{}]))
