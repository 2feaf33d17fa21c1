"""The node at fault, on graphs of two nodes: found, told from its readers, and missed where none is."""

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
from hyperstyle_deploy.tests.tiny_bundle import TinyBundle

IMAGE = np.random.default_rng(1).standard_normal((1, 3, 16, 16), np.float32)
CPU = pytest.mark.parametrize("backend", available())


def search(bundle: TinyBundle, changed: TinyBundle, backend: str) -> Bisection:
    reference, tested = PlainBackend(Bundle.open(bundle.path)), Bundle.open(changed.path)
    run = StageRun("encoder", 0, {"image": IMAGE}, {}, {})
    return bisect(reference, open_backend(backend, tested, Options()), tested.graph("encoder"), run)


def copied(bundle: TinyBundle, change: "dict[str, dict[str, object]]") -> TinyBundle:
    """A copy whose encoder has other attributes: {node: {attribute: value}}."""
    copy = TinyBundle(Path(shutil.copytree(bundle.path, bundle.path.parent / "changed.bundle")))
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
    ids=["the last node", "the first node"],
)
def test_the_first_wrong_node_is_named(
    change: "dict[str, dict[str, object]]", node: str, op: str, backend: str, tiny_bundle: TinyBundle
) -> None:
    found = search(tiny_bundle, copied(tiny_bundle, change), backend)
    assert found.fault is not None
    assert (found.fault.node, found.fault.op) == (node, op)
    assert found.fault.inputs < 0.5  # what it reads is right
    assert not found.fault.difference.within


@CPU
def test_no_node_is_blamed_where_all_are_right(backend: str, tiny_bundle: TinyBundle) -> None:
    found = search(tiny_bundle, tiny_bundle, backend)
    assert found.fault is None
    assert (found.compared, found.nodes) == (2, 2)


@CPU
def test_a_search_in_small_pieces_finds_the_same(
    backend: str, tiny_bundle: TinyBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expose, "MAX_TENSORS", 1)
    found = search(tiny_bundle, copied(tiny_bundle, {"activation": {"alpha": 0.3}}), backend)
    assert found.fault is not None
    assert found.fault.node == "activation"
    assert found.fault.inputs < 0.5  # from the piece before


def test_nodes_come_in_order_with_their_sizes(tiny_bundle: TinyBundle) -> None:
    first, second = nodes_of(tiny_bundle.path / "encoder.onnx")
    assert (first.name, first.inputs, second.output) == ("first_conv", ("image", "weight"), "codes")
    assert second.bytes == 4 * 8 * 16 * 16


def test_pieces_are_bounded_by_count_and_by_bytes() -> None:
    def node(size: int) -> Node:
        return Node("n", "Conv", (), "x", size)

    assert [len(piece) for piece in chunks([node(1)] * 100)] == [48, 48, 4]
    half = expose.MAX_BYTES // 2
    assert [len(piece) for piece in chunks([node(half), node(half), node(1), node(3 * half)])] == [2, 1, 1]


def test_a_gpus_nodes_cannot_be_looked_at(tiny_bundle: TinyBundle) -> None:
    bundle = Bundle.open(tiny_bundle.path)
    backend = PlainBackend(bundle)
    other = open_backend("onnxruntime", bundle, Options())
    other.name = "tensorrt"
    with pytest.raises(BackendError, match="on the CPU"):
        bisect(backend, other, bundle.graph("encoder"), StageRun("encoder", 0, {"image": IMAGE}, {}, {}))


def test_the_bundle_is_not_changed(tiny_bundle: TinyBundle) -> None:
    before = {file.name: file.read_bytes() for file in tiny_bundle.path.iterdir()}
    search(tiny_bundle, tiny_bundle, "onnxruntime")
    assert {file.name: file.read_bytes() for file in tiny_bundle.path.iterdir()} == before
    assert len(onnx.load(tiny_bundle.path / "encoder.onnx", load_external_data=False).graph.output) == 1
