"""The node at fault, on graphs of a few nodes: found, told from its readers, and missed where none is."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.quality.verification import expose
from hyperstyle_deploy.runtime.quality.verification.bisect import Bisection, bisect
from hyperstyle_deploy.runtime.quality.verification.expose import Node, chunks, nodes_of
from hyperstyle_deploy.runtime.quality.verification.plain_backend import PlainBackend
from hyperstyle_deploy.runtime.quality.verification.stages import StageRun
from hyperstyle_deploy.tests.toy_bundle import ToyBundle

IMAGE = np.random.default_rng(1).standard_normal((1, 3, 32, 32), np.float32)
#: Those of the encoder: convolution, activation, mean, product, reshaping.
NODES = 5
CPU = pytest.mark.parametrize("backend", available())


def search(bundle: ToyBundle, changed: ToyBundle, backend: str) -> Bisection:
    reference, tested = PlainBackend(Bundle.open(bundle.path)), Bundle.open(changed.path)
    run = StageRun("encoder", 0, {"image": IMAGE}, {}, {})
    return bisect(reference, open_backend(backend, tested, Options()), tested.graph("encoder"), run)


def copied(bundle: ToyBundle, change: "dict[str, dict[str, object]]") -> ToyBundle:
    """A copy whose encoder has other attributes: {node: {attribute: value}}."""
    copy = ToyBundle(Path(shutil.copytree(bundle.path, bundle.path.parent / "changed.bundle")))
    model = copy.graph("encoder")
    for node in model.graph.node:
        for name, value in change.get(node.name, {}).items():
            kept = [attribute for attribute in node.attribute if attribute.name != name]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(name, value)])
    copy.replace("encoder.onnx", model.SerializeToString())
    return copy


@CPU
@pytest.mark.parametrize(
    ("change", "node", "op"),
    [
        ({"activation": {"alpha": 0.3}}, "activation", "LeakyRelu"),
        ({"first_conv": {"pads": [0, 0, 2, 2]}}, "first_conv", "Conv"),
    ],
    ids=["a node between", "the first node"],
)
def test_the_first_wrong_node_is_named(
    change: "dict[str, dict[str, object]]", node: str, op: str, backend: str, toy_bundle: ToyBundle
) -> None:
    found = search(toy_bundle, copied(toy_bundle, change), backend)
    assert found.fault is not None
    assert (found.fault.node, found.fault.op) == (node, op)
    assert found.fault.inputs < 0.5  # what it reads is right
    assert not found.fault.difference.within


@CPU
def test_no_node_is_blamed_where_all_are_right(backend: str, toy_bundle: ToyBundle) -> None:
    found = search(toy_bundle, toy_bundle, backend)
    assert found.fault is None
    assert (found.compared, found.nodes) == (NODES, NODES)


@CPU
def test_a_search_in_small_pieces_finds_the_same(
    backend: str, toy_bundle: ToyBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expose, "MAX_TENSORS", 1)
    found = search(toy_bundle, copied(toy_bundle, {"activation": {"alpha": 0.3}}), backend)
    assert found.fault is not None
    assert found.fault.node == "activation"
    assert found.fault.inputs < 0.5  # from the piece before


def test_nodes_come_in_order_with_their_sizes(toy_bundle: ToyBundle) -> None:
    nodes = nodes_of(toy_bundle.path / "encoder.onnx")
    assert [node.op for node in nodes] == ["Conv", "LeakyRelu", "ReduceMean", "MatMul", "Reshape"]
    assert (nodes[0].name, nodes[0].inputs, nodes[-1].output) == ("first_conv", ("image", "weight"), "codes")
    assert nodes[0].bytes == 4 * 8 * 32 * 32


def test_pieces_are_bounded_by_count_and_by_bytes() -> None:
    def node(size: int) -> Node:
        return Node("n", "Conv", (), "x", size)

    assert [len(piece) for piece in chunks([node(1)] * 100)] == [48, 48, 4]
    half = expose.MAX_BYTES // 2
    assert [len(piece) for piece in chunks([node(half), node(half), node(1), node(3 * half)])] == [2, 1, 1]


def test_a_gpus_nodes_cannot_be_looked_at(toy_bundle: ToyBundle) -> None:
    bundle = Bundle.open(toy_bundle.path)
    backend = PlainBackend(bundle)
    other = open_backend("onnxruntime", bundle, Options())
    other.name = "tensorrt"
    with pytest.raises(BackendError, match="on the CPU"):
        bisect(backend, other, bundle.graph("encoder"), StageRun("encoder", 0, {"image": IMAGE}, {}, {}))


def test_the_bundle_is_not_changed(toy_bundle: ToyBundle) -> None:
    before = {file.name: file.read_bytes() for file in toy_bundle.path.iterdir()}
    search(toy_bundle, toy_bundle, "onnxruntime")
    assert {file.name: file.read_bytes() for file in toy_bundle.path.iterdir()} == before
    assert len(onnx.load(toy_bundle.path / "encoder.onnx", load_external_data=False).graph.output) == 1
