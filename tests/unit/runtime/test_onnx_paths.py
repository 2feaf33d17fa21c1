"""Files that a graph names are found wherever ONNX lets them be named, and must be the bundle's own."""

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime.bundle.onnx_paths import external_locations
from hyperstyle_deploy.runtime.bundle.reader import Bundle


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def model_with(*initializers: TensorProto) -> onnx.ModelProto:
    """A model that names files in initializers, attributes, sub-graphs, sparse tensors, functions and training."""
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])
    branch = helper.make_graph([], "branch", [], [z], [external("in_branch")])
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Constant", [], ["k"], value=external("in_attribute")),
    ]
    graph = helper.make_graph(nodes, "main", [], [z], initializers)
    graph.sparse_initializer.add(values=external("in_sparse"), indices=external("in_indices"))
    body = [helper.make_node("Constant", [], ["b"], value=external("in_function"))]
    function = helper.make_function("d", "f", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    model = helper.make_model(graph, functions=[function])
    model.training_info.add().algorithm.CopyFrom(helper.make_graph([], "t", [], [], [external("in_training")]))
    return model


def test_every_place_is_searched() -> None:
    found = external_locations(model_with(external("../climbs"), external("/absolute")).SerializeToString())
    places = {"in_branch", "in_attribute", "in_sparse", "in_indices", "in_function", "in_training"}
    assert found == places | {"../climbs", "/absolute"}


@pytest.mark.parametrize("content", [b"\xff" * 50, b"\x0b", b"<net name='an OpenVINO graph'/>"])
def test_other_bytes_are_no_graph(content: bytes) -> None:
    with pytest.raises(BundleError, match="not ONNX"):
        external_locations(content)


def test_a_graph_cut_short_is_no_graph() -> None:
    with pytest.raises(BundleError, match="not ONNX"):
        external_locations(model_with().SerializeToString()[:-3])


@pytest.mark.parametrize("location", ["unlisted.bin", "../outside", "/etc/hostname", "./generator.safetensors"])
def test_a_graph_that_points_elsewhere_is_refused(small_bundle: Any, location: str) -> None:
    graph = helper.make_graph(
        [], "g", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])], [external(location)]
    )
    replace_graph(small_bundle.path, helper.make_model(graph).SerializeToString())
    with pytest.raises(BundleError, match="not the bundle's"):
        Bundle.open(small_bundle.path)


def test_a_graph_may_use_the_bundles_files(small_bundle: Any) -> None:
    graph = helper.make_graph([], "g", [], [], [external("generator.safetensors")])
    replace_graph(small_bundle.path, helper.make_model(graph).SerializeToString())
    Bundle.open(small_bundle.path)


def replace_graph(bundle: Path, content: bytes) -> None:
    """Put another graph into the bundle, its manifest in agreement, as whoever made the bundle could."""
    (bundle / "encoder.onnx").write_bytes(content)
    document = json.loads((bundle / "bundle.json").read_text())
    document["files"]["encoder.onnx"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(document))
