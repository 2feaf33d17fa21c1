"""The policy's parts: exact powers of two, graphs typed as it says, and rounding and overflow that show on a CPU."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from hyperstyle_deploy.errors import ExportError
from hyperstyle_deploy.export.comparison import compare
from hyperstyle_deploy.export.graphs import Graph
from hyperstyle_deploy.export.onnx_writer import trace, write_graph
from hyperstyle_deploy.export.precision import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    Precision,
    power_of_two,
    precision_named,
    split_peak,
)
from hyperstyle_deploy.export.rounded import RoundedGraph
from hyperstyle_deploy.export.stages.offsets import CodeMap
from hyperstyle_deploy.runtime.manifest.checks import PRECISIONS
from hyperstyle_deploy.runtime.quality.tolerance import LEAST_PSNR, TOLERANCE, psnr


def test_every_precision_has_a_name_and_tolerances() -> None:
    for name in PRECISIONS:
        assert precision_named(name).name == name
        assert TOLERANCE[name] == precision_named(name).tolerance
        assert LEAST_PSNR[name] > 0
    with pytest.raises(ExportError, match="float8"):
        precision_named("float8")


def test_scales_are_the_next_power_of_two() -> None:
    magnitudes = torch.tensor([0.0, 1.0, 1.1, 0.26, 1e-30, 3e30])
    scales = power_of_two(magnitudes)
    assert scales[:4].tolist() == [1.0, 1.0, 2.0, 0.5]
    assert torch.equal(torch.frexp(scales).mantissa, torch.full((6,), 0.5))  # a power of two, however large or small
    assert bool((magnitudes <= scales).all())
    assert bool((magnitudes[1:] / scales[1:] > 0.5).all())


def test_a_row_is_its_peak_times_what_is_left() -> None:
    rows = torch.tensor([[1e30, -2e30, 5e29], [1e-3, 0.0, -1e-4], [0.0, 0.0, 0.0]])
    unit, peak = split_peak(rows)
    assert peak.shape == (3, 1)
    assert unit.abs().amax(1).tolist() == [1.0, 1.0, 0.0]
    torch.testing.assert_close(unit * peak, rows, rtol=1e-6, atol=0)


@pytest.mark.parametrize("code_scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("matrix_scale", [1e-9, 1.0, 1e6])
def test_maps_of_codes_hold_any_magnitude_in_float16(code_scale: float, matrix_scale: float) -> None:
    """Either factor alone is beyond FP16 at the ends; only its rounding is left, relative to the row."""
    generate = torch.Generator().manual_seed(1)
    matrix = torch.randn(40, 512, generator=generate) * matrix_scale
    codes = torch.randn(3, 512, generator=generate) * code_scale
    bias = torch.randn(40, generator=generate) * matrix_scale * code_scale
    want = codes @ matrix.t() + bias
    got = CodeMap(matrix, FLOAT16)(codes, bias)
    assert got.dtype is torch.float32
    assert float((got - want).abs().max()) < 2e-3 * float(want.abs().max())
    exact = CodeMap(matrix, FLOAT16.exact)(codes, bias)
    torch.testing.assert_close(exact, want, rtol=0, atol=1e-5 * float(want.abs().max()))


def small_onnx(path: Path, dtype: int, opset: int) -> Path:
    """x -> y = x * x in 16 bits, -> z = leaky_relu(y) as float32."""
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=dtype),
        helper.make_node("Mul", ["h", "h"], ["y"]),
        helper.make_node("LeakyRelu", ["y"], ["w"], alpha=0.2),
        helper.make_node("Cast", ["w"], ["z"], to=TensorProto.FLOAT),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xz"]
    between = [helper.make_tensor_value_info(name, dtype, [3]) for name in "hyw"]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], value_info=between)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def test_rounded_graphs_overflow_where_onnxruntime_does_not(tmp_path: Path) -> None:
    """Why the CPU's own answer proves nothing about FP16: it never rounds between nodes."""
    path = small_onnx(tmp_path / "small.onnx", TensorProto.FLOAT16, FLOAT16.opset)
    x = np.array([1 / 3, 300.0, -2.0], np.float32)
    plain = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    assert plain[1] == 90000
    rounded = RoundedGraph(path, watch=True)
    z = rounded.run({"x": x})[0]
    third = np.float16(1 / 3)
    np.testing.assert_array_equal(z, [np.float32(third * third), np.inf, 4.0])
    assert rounded.peaks["h"] == 300
    assert np.isnan(rounded.peaks["y"])
    assert np.isnan(rounded.peaks["w"])
    rounded.run({"x": np.ones(3, np.float32)})
    assert np.isnan(rounded.peaks["y"])  # what has overflowed once stays so


def test_rounded_graphs_round_to_bfloat16(tmp_path: Path) -> None:
    path = small_onnx(tmp_path / "small.onnx", TensorProto.BFLOAT16, BFLOAT16.opset)
    x = np.array([1 / 3, 300.0, -2.0], np.float32)
    want = torch.from_numpy(x).bfloat16()
    np.testing.assert_array_equal(RoundedGraph(path).run({"x": x})[0], (want * want).float().numpy())


class Square(torch.nn.Module):
    """A stage that squares in the precision's dtype."""

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.precision = precision

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        narrow = self.precision.narrow(x)
        return (narrow * narrow).float() / 65536


@pytest.mark.parametrize("precision", [FLOAT16, BFLOAT16], ids=lambda precision: precision.name)
def test_an_overflow_is_refused_and_named(precision: Precision, tmp_path: Path) -> None:
    def graph(largest: float) -> Graph:
        x = torch.linspace(1, largest, 8)[None].repeat(2, 1)
        return Graph("square", Square(precision), (x,), ({0: "rows"},), ("x",), ("y",))

    path = tmp_path / "square.onnx"
    write_graph(trace(graph(2.0), precision.opset), graph(2.0), path, {}, {})
    for largest, fits in ((200.0, True), (300.0, precision is BFLOAT16)):
        exact = graph(largest).args[0].square() / 65536
        if fits:
            assert compare(graph(largest), path, [exact], precision) < precision.tolerance
        else:
            with pytest.raises(ExportError, match=r"y: inf.*Not finite: mul.*bf16 or fp32"):
                compare(graph(largest), path, [exact], precision)


def test_psnr_is_over_the_networks_range() -> None:
    image = np.zeros((1, 3, 4, 4), np.float32)
    assert psnr(image, image) == np.inf
    assert psnr(image + np.float32(0.02), image) == pytest.approx(40.0, abs=1e-4)
    assert psnr(image + np.float32(0.02), image, peak=20.0) == pytest.approx(60.0, abs=1e-4)
    assert np.isnan(psnr(image + np.nan, image))
    assert not psnr(image + np.nan, image) >= LEAST_PSNR["float32"]


def test_float32_graphs_have_no_casts(tiny_bundle: Path) -> None:
    for file in tiny_bundle.glob("*.onnx"):
        nodes = onnx.load(file, load_external_data=False).graph.node
        assert "Cast" not in {node.op_type for node in nodes}, file.name
    assert not FLOAT32.rescaled
