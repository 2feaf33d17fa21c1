"""Q/DQ placement, per-channel axes, dead channels and both forms of a product, on small graphs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from hyperstyle_deploy.calibration.formats import FP8, INT8, Format
from hyperstyle_deploy.calibration.loop_backend import with_constants
from hyperstyle_deploy.calibration.quantization import Quantized, Weights, quantize
from hyperstyle_deploy.calibration.stage_graph import StageGraph
from hyperstyle_deploy.errors import CalibrationError
from hyperstyle_deploy.tests.unit.calibration.small import bundle, random, residual_network, write

THRESHOLDS = {"image": 4.0, "x": 25.0, "first.active": 60.0, "y": 60.0}


def constants_of(graph: StageGraph, *names: str) -> set:
    return {graph.constant(name) for name in names}


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in model.graph.node for output in node.output}


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray], folder: Path, **settings: object) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    for name, value in settings.items():
        setattr(options, name, value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


@pytest.fixture
def network(tmp_path: Path) -> StageGraph:
    residual_network(tmp_path)
    return StageGraph(bundle(tmp_path), "encoder")


def all_convolutions(graph: StageGraph) -> set:
    return {graph.constant(node.input[1]) for node in graph.convolutions()}


def quantized(graph: StageGraph, form: Format = INT8) -> Quantized:
    return quantize(graph, all_convolutions(graph), THRESHOLDS, Weights(form))


def test_convolutions_of_one_pixel_are_left_out(network: StageGraph) -> None:
    weights = [node.input[1] for node in network.convolutions()]
    assert weights == [
        "stem.weight",
        "body.0.first.weight",
        "body.0.second.weight",
        "body.0.shortcut.weight",
        "body.1.weight",
    ]


@pytest.mark.parametrize("form", [INT8, FP8])
def test_every_convolution_stands_behind_dq_alone_on_both_sides(network: StageGraph, form: Format) -> None:
    model = quantized(network, form).model
    made = makers(model)
    for node in model.graph.node:
        if node.op_type == "Conv" and "fc" not in node.input[1]:
            activation, weight = made[node.input[0]], made[node.input[1]]
            assert (activation.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
            assert made[activation.input[0]].op_type == "QuantizeLinear"
            assert weight.input[0] not in made  # a constant: no Q in front of it at run time
            assert helper.get_attribute_value(weight.attribute[0]) == 0


def test_q_stands_behind_the_activation_so_that_it_ends_the_kernel(network: StageGraph) -> None:
    """Conv, PReLU, Q and Conv, Add, ReLU, Q are one kernel each in TensorRT; nothing is quantized inside them."""
    model = quantized(network).model
    made = makers(model)
    sources = {node.input[0]: made.get(node.input[0]) for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert set(sources) == {"image", "x", "first.active", "y"}
    assert {name: node.op_type for name, node in sources.items() if node is not None} == {
        "x": "PRelu",
        "first.active": "PRelu",
        "y": "Relu",
    }
    for result in ("stem", "first", "second", "third"):
        following = [node.op_type for node in model.graph.node if result in node.input]
        assert "QuantizeLinear" not in following
    # Sums are of float32 numbers on both sides.
    for node in model.graph.node:
        if node.op_type == "Add":
            assert all(made[name].op_type not in ("QuantizeLinear", "DequantizeLinear") for name in node.input)


def test_convolutions_that_share_an_input_share_its_q(network: StageGraph) -> None:
    model = quantized(network).model
    readers = [node.name for node in model.graph.node if "x.dq" in node.input]
    assert readers == ["node_first", "node_shortcut"]
    assert sum(node.op_type == "QuantizeLinear" and node.input[0] == "x" for node in model.graph.node) == 1


def test_stride_padding_and_bias_stay(network: StageGraph) -> None:
    before = {node.name: node for node in network.nodes}
    for node in quantized(network).model.graph.node:
        if node.op_type == "Conv":
            assert node.attribute == before[node.name].attribute
            assert list(node.input[2:]) == list(before[node.name].input[2:])


def test_scales_are_per_output_channel_and_symmetric(network: StageGraph) -> None:
    result = quantized(network)
    weight = np.array(network.array("stem.weight"))
    q, scale = result.constants["stem.weight.int8"], result.constants["stem.weight.int8.scale"]
    assert q.dtype == np.int8
    assert np.allclose(scale, np.abs(weight).max((1, 2, 3)) / 127)
    assert np.abs(q.astype(int)).max((1, 2, 3)).tolist() == [127] * 8
    assert np.abs(q * scale[:, None, None, None] - weight).max() <= scale.max() / 2 * 1.0001
    zeros = [i for i in result.model.graph.initializer if i.name.endswith(".zero")]
    assert zeros
    assert all(not numpy_helper.to_array(zero).any() for zero in zeros)


def test_a_dead_channel_stays_zero(network: StageGraph) -> None:
    result = quantized(network)
    assert result.constants["body.0.second.weight.int8.scale"][3] == 1
    assert not result.constants["body.0.second.weight.int8"][3].any()
    image = random(1, 3, 8, 8, seed=8)
    outputs = run(with_constants(result), {"image": image}, network.folder)
    assert np.isfinite(outputs[0]).all()


def test_float_weights_that_nothing_reads_are_gone(network: StageGraph) -> None:
    names = {tensor.name for tensor in quantized(network).model.graph.initializer}
    assert "body.1.weight" not in names
    assert {"body.0.fc1.weight", "stem.bias", "slope"} <= names


@pytest.mark.parametrize(("form", "limit"), [(INT8, 0.03), (FP8, 0.08)])
def test_the_result_is_near(network: StageGraph, form: Format, limit: float) -> None:
    image = random(1, 3, 8, 8, seed=8)
    want = run(network.copy(), {"image": image}, network.folder)[0]
    got = run(with_constants(quantized(network, form)), {"image": image}, network.folder)[0]
    error = np.abs(got - want).max() / np.abs(want).max()
    assert 0 < error < limit


def test_inputs_past_their_range_saturate_at_it(network: StageGraph) -> None:
    """An image eight times too bright is the image clipped at the threshold; ONNX goes down to -128."""
    model = with_constants(quantize(network, constants_of(network, "stem.weight"), {"image": 1.0}, Weights(INT8)))
    image = 8 * random(1, 3, 8, 8, seed=8)
    got = run(model, {"image": image}, network.folder)[0]
    assert np.array_equal(got, run(model, {"image": np.clip(image, -128 / 127, 1)}, network.folder)[0])


def test_only_chosen_layers_change(network: StageGraph) -> None:
    result = quantize(network, constants_of(network, "body.1.weight"), THRESHOLDS, Weights(INT8))
    assert sorted(result.constants) == ["body.1.weight.int8", "body.1.weight.int8.scale"]
    assert sum(node.op_type == "QuantizeLinear" for node in result.model.graph.node) == 1
    untouched = quantize(network, set(), {}, Weights(INT8))
    assert [node.name for node in untouched.model.graph.node] == [node.name for node in network.nodes]


def test_a_tensor_without_a_range_is_an_error(network: StageGraph) -> None:
    with pytest.raises(CalibrationError, match="has no range"):
        quantize(network, all_convolutions(network), {}, Weights(INT8))


# Products

#: The product, the shapes of its left side, its weight and its bias. A column is followed by views of it and its bias.
PRODUCTS = {
    "Gemm B": (helper.make_node("Gemm", ["a", "w", "c"], ["y"], "n"), [9, 64], [64, 96], [96]),
    "column": (helper.make_node("MatMul", ["w", "a"], ["column"], "n"), [64, 1], [96, 64], [96]),
    "Gemm B turned": (helper.make_node("Gemm", ["a", "w", "c"], ["y"], "n", transB=1), [1, 64], [96, 64], [96]),
    "Gemm A": (helper.make_node("Gemm", ["w", "a", "c"], ["y"], "n"), [64, 9], [96, 64], [96, 1]),
    "Gemm A, B turned": (helper.make_node("Gemm", ["w", "a", "c"], ["y"], "n", transB=1), [9, 64], [96, 64], [96, 1]),
    "Gemm A turned": (helper.make_node("Gemm", ["w", "a"], ["y"], "n", transA=1), [64, 9], [64, 96], []),
    "MatMul": (helper.make_node("MatMul", ["a", "w"], ["y"], "n"), [9, 64], [64, 96], []),
    "tall": (helper.make_node("Gemm", ["a", "w", "c"], ["y"], "n"), [512, 64], [64, 96], [96]),
}
#: Of one row: ONNX Runtime is as fast with float32 numbers on the left.
ONE_ROW = ("Gemm B turned", "column")


def product(folder: Path, stage: str, kind: str) -> tuple[StageGraph, np.ndarray]:
    node, left, weight, bias = PRODUCTS[kind]
    constants = {"w": random(*weight, seed=1)} | ({"c": random(*bias, seed=2)} if bias else {})
    nodes = [helper.make_node("Identity", ["in"], ["a"]), node]
    if kind == "column":
        nodes += [helper.make_node("Transpose", ["column"], ["row"]), helper.make_node("Add", ["row", "c"], ["y"])]
    write(folder, stage, nodes, constants, {"in": left}, ["y"])
    return StageGraph(bundle(folder), stage), random(*left, seed=3)


@pytest.mark.parametrize("kind", PRODUCTS)
@pytest.mark.parametrize("stage", ["offsets", "weights"])
def test_a_product_has_its_constant_on_the_right_and_a_scale_an_output(tmp_path: Path, stage: str, kind: str) -> None:
    graph, left = product(tmp_path, stage, kind)
    result = quantize(graph, constants_of(graph, "w"), {}, Weights(FP8))  # matrices are INT8 in either format
    q, scale = result.constants["w.int8"], result.constants["w.int8.scale"]
    assert (q.shape, scale.shape, q.dtype) == ((64, 96), (96,), np.int8)
    nodes = {node.op_type: node for node in result.model.graph.node}
    if stage == "weights" and kind not in ONE_ROW:
        assert nodes["MatMulInteger"].input[1] == "w.int8"
    else:
        assert helper.get_attribute_value(nodes["DequantizeLinear"].attribute[0]) == 1
        assert nodes["MatMul"].input[1] == "w.int8.dq"
        assert "MatMulInteger" not in nodes
    want = run(graph.copy(), {"in": left}, tmp_path)[0]
    got = run(with_constants(result), {"in": left}, tmp_path)[0]
    assert got.shape == want.shape
    assert 0 < np.abs(got - want).max() / np.abs(want).max() < 0.03


@pytest.mark.parametrize(
    ("kind", "fused"),
    [
        ("column", "MatMulNBits"),
        ("Gemm B turned", "MatMulNBits"),
        ("Gemm A", "DynamicQuantizeMatMul"),
        ("tall", "DynamicQuantizeMatMul"),
    ],
)
def test_onnx_runtime_has_one_node_for_a_product_that_reads_8_bits(tmp_path: Path, kind: str, fused: str) -> None:
    graph, left = product(tmp_path, "weights", kind)
    model = with_constants(quantize(graph, constants_of(graph, "w"), {}, Weights(INT8)))
    run(model, {"in": left}, tmp_path, optimized_model_filepath=str(tmp_path / "optimized.onnx"))
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert fused in kinds
    assert not {"DequantizeLinear", "Gemm", "MatMul"} & set(kinds)
    if fused == "DynamicQuantizeMatMul":
        assert "Add" not in kinds  # the bias is inside


def test_two_graphs_share_a_quantized_constant(tmp_path: Path) -> None:
    graph, _ = product(tmp_path, "offsets", "Gemm B")
    weights = Weights(INT8)
    first, second = (quantize(graph, constants_of(graph, "w"), {}, weights) for _ in range(2))
    assert first.constants["w.int8"] is second.constants["w.int8"]


def test_a_product_with_factors_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["a", "w"], ["y"], "n", alpha=2.0)
    write(
        tmp_path,
        "offsets",
        [helper.make_node("Identity", ["in"], ["a"]), node],
        {"w": random(64, 96)},
        {"in": [9, 64]},
        ["y"],
    )
    graph = StageGraph(bundle(tmp_path), "offsets")
    with pytest.raises(CalibrationError, match="has factors"):
        quantize(graph, constants_of(graph, "w"), {}, Weights(INT8))
