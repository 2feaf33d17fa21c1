"""Files that a graph names are found wherever ONNX lets them be named, and must be the bundle's own."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime import bundle as bundle_room
from hyperstyle_deploy.runtime.bundle.onnx_scan import scan_graph
from hyperstyle_deploy.runtime.bundle.operators import OPERATORS
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.manifest.checksum import with_checksum


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def model_with(*initializers: TensorProto) -> onnx.ModelProto:
    """A model that names files in initializers, attributes and sparse tensors."""
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])
    nodes = [helper.make_node("Constant", [], ["k"], value=external("in_attribute"))]
    graph = helper.make_graph(nodes, "main", [], [z], initializers)
    graph.sparse_initializer.add(values=external("in_sparse"), indices=external("in_indices"))
    return helper.make_model(graph)


def test_every_place_is_searched() -> None:
    found = scan_graph(model_with(external("../climbs"), external("/absolute")).SerializeToString())
    assert found == {"in_attribute", "in_sparse", "in_indices", "../climbs", "/absolute"}


def branches() -> onnx.ModelProto:
    model = model_with()
    inner = helper.make_graph([], "branch", [], [])
    model.graph.node.append(helper.make_node("Identity", ["c"], ["y"], then_branch=inner))
    return model


def functions() -> onnx.ModelProto:
    body = [helper.make_node("Identity", ["a"], ["b"])]
    function = helper.make_function("d", "f", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    return helper.make_model(model_with().graph, functions=[function])


def training() -> onnx.ModelProto:
    model = model_with()
    model.training_info.add().algorithm.CopyFrom(helper.make_graph([], "t", [], []))
    return model


@pytest.mark.parametrize("make", [branches, functions, training])
def test_nodes_anywhere_else_are_refused(make: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises(BundleError, match="more than a graph"):
        scan_graph(make().SerializeToString())


@pytest.mark.parametrize(
    ("operator", "domain"), [("Loop", ""), ("ConstantOfShape", ""), ("Range", ""), ("Add", "a.b"), ("", "")]
)
def test_other_operators_are_refused(operator: str, domain: str) -> None:
    model = model_with()
    model.graph.node.append(helper.make_node(operator, [], ["y"], domain=domain))
    with pytest.raises(BundleError, match="operator that no export writes"):
        scan_graph(model.SerializeToString())


def test_the_cpp_runtime_has_the_same_operators() -> None:
    source = (Path(bundle_room.__file__).parents[1] / "cpp/src/operators.hpp").read_text()
    onnx_names, microsoft = (
        set(re.findall(r'"(\w+)"', part)) for part in re.findall(r"= \{(.*?)\};", source, re.DOTALL)
    )
    assert {"": onnx_names, "com.microsoft": microsoft} == {key: set(names) for key, names in OPERATORS.items()}


@pytest.mark.parametrize("content", [b"\xff" * 50, b"\x0b", b"<net name='an OpenVINO graph'/>"])
def test_other_bytes_are_no_graph(content: bytes) -> None:
    with pytest.raises(BundleError, match="not ONNX"):
        scan_graph(content)


def test_a_graph_cut_short_is_no_graph() -> None:
    with pytest.raises(BundleError, match="not ONNX"):
        scan_graph(model_with().SerializeToString()[:-3])


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
    (bundle / "bundle.json").write_text(with_checksum(document))
