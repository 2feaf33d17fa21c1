"""Small graphs in the way of a bundle's: constants in a file beside them, names as the exporter gives them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.external_data_helper import set_external_data

FLOAT = onnx.TensorProto.FLOAT


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def write(
    folder: Path,
    stage: str,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.float32]],
    inputs: dict[str, list[int]],
    outputs: list[str],
) -> None:
    """Write `<stage>.onnx` and the bytes of its constants in `<stage>.bin`."""
    values = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, stage, values, results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)
    with (folder / f"{stage}.bin").open("wb") as stream:
        for tensor in model.graph.initializer:
            if tensor.data_type != FLOAT:
                continue
            data = tensor.raw_data
            set_external_data(tensor, f"{stage}.bin", offset=stream.tell(), length=len(data))
            stream.write(data)
            tensor.ClearField("raw_data")
    (folder / f"{stage}.onnx").write_bytes(model.SerializeToString())


def bundle(folder: Path) -> SimpleNamespace:
    """As much of a bundle as a graph's reader needs."""
    return SimpleNamespace(path=folder, graph=lambda stage: folder / f"{stage}.onnx")


def conv(x: str, weight: str, y: str, bias: str = "", stride: int = 1, pad: int = 1) -> onnx.NodeProto:
    inputs = [x, weight, bias] if bias else [x, weight]
    return helper.make_node("Conv", inputs, [y], f"node_{y}", strides=[stride] * 2, pads=[pad] * 4)


def residual_network(folder: Path) -> None:
    """What `encoder` and `hypernet` have: PReLU, a strided residual unit with attention, a plain one."""
    c = 8
    constants = {
        "stem.weight": random(c, 3, 3, 3),
        "stem.bias": random(c, seed=1),
        "slope": np.full((c, 1, 1), 0.25, np.float32),
        "body.0.first.weight": random(c, c, 3, 3, seed=2) / 9,
        "body.0.second.weight": random(c, c, 3, 3, seed=3) / 9,
        "body.0.fc1.weight": random(2, c, 1, 1, seed=4),
        "body.0.fc2.weight": random(c, 2, 1, 1, seed=5),
        "body.0.shortcut.weight": random(c, c, 1, 1, seed=6),
        "body.1.weight": random(c, c, 3, 3, seed=7) / 9,
    }
    constants["body.0.second.weight"][3] = 0  # a dead channel
    nodes = [
        conv("image", "stem.weight", "stem", "stem.bias"),
        helper.make_node("PRelu", ["stem", "slope"], ["x"]),
        conv("x", "body.0.first.weight", "first"),
        helper.make_node("PRelu", ["first", "slope"], ["first.active"]),
        conv("first.active", "body.0.second.weight", "second", stride=2),
        helper.make_node("ReduceMean", ["second", "axes"], ["mean"], keepdims=1),
        conv("mean", "body.0.fc1.weight", "squeezed", pad=0),
        helper.make_node("Relu", ["squeezed"], ["squeezed.active"]),
        conv("squeezed.active", "body.0.fc2.weight", "excited", pad=0),
        helper.make_node("Sigmoid", ["excited"], ["gate"]),
        helper.make_node("Mul", ["second", "gate"], ["gated"]),
        conv("x", "body.0.shortcut.weight", "shortcut", stride=2, pad=0),
        helper.make_node("Add", ["gated", "shortcut"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
        conv("y", "body.1.weight", "third"),
        helper.make_node("Add", ["third", "y"], ["result"]),
    ]
    constants["axes"] = np.array([2, 3])  # type: ignore[assignment]
    write(folder, "encoder", nodes, constants, {"image": [1, 3, 8, 8]}, ["result"])
