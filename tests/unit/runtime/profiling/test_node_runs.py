"""FLOPs of nodes from the shapes that libraries tell, in every form they tell them."""

import pytest

from hyperstyle_deploy.runtime.backends.node_runs import NodeRun

CASES = {
    # 2 * outputs * (in / groups) * k * k
    "convolution": ("Conv", [(2, 64, 56, 56), (128, 64, 3, 3), (128,)], (2, 128, 28, 28), 4 * 128 * 28 * 28 * 64 * 9),
    "grouped": ("Conv", [(1, 64, 9, 9), (64, 1, 4, 4)], (1, 64, 6, 6), 2 * 64 * 36 * 16),
    "grouped, OpenVINO": ("GroupConvolution", [(1, 64, 9, 9), (64, 1, 1, 4, 4)], (1, 64, 6, 6), 2 * 64 * 36 * 16),
    # 2 * inputs * (out / groups) * k * k
    "transposed": ("ConvTranspose", [(1, 32, 8, 8), (32, 16, 3, 3)], (1, 16, 17, 17), 2 * 32 * 64 * 16 * 9),
    "transposed, OpenVINO": ("Deconvolution", [(1, 32, 8, 8), (32, 16, 3, 3)], (1, 16, 17, 17), 2 * 32 * 64 * 144),
    "transposed, grouped": ("ConvTranspose", [(1, 3, 8, 8), (3, 1, 4, 4)], (1, 3, 16, 16), 2 * 3 * 64 * 16),
    "transposed, 5 axes": ("GroupDeconvolution", [(1, 3, 8, 8), (3, 1, 1, 4, 4)], (1, 3, 16, 16), 2 * 3 * 64 * 16),
    # 2 * M * K * N
    "product": ("MatMul", [(9, 512), (512, 4608)], (9, 4608), 2 * 9 * 512 * 4608),
    "packed constant": ("Gemm", [(1, 512), (4608,)], (1, 4608), 2 * 512 * 4608),
    "left one stored transposed": ("Gemm", [(512, 9), (512, 40)], (9, 40), 2 * 9 * 512 * 40),
    "batched": ("MatMul", [(4, 9, 16, 32), (4, 9, 32, 8)], (4, 9, 16, 8), 2 * 36 * 16 * 32 * 8),
    "matrix times vector": ("MatMul", [(16, 32), (32,)], (16,), 2 * 16 * 32),
    "elementwise": ("Mul", [(16, 32), (32,)], (16, 32), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_flops(name: str) -> None:
    operator, inputs, output, flops = CASES[name]
    assert NodeRun("s", 0, "n", operator, 1.0, tuple(inputs), (output,)).flops == flops


def test_what_is_not_told_counts_as_nothing() -> None:
    for inputs, outputs in (((), ((1, 8),)), (((1, 8),), ()), (((1, 3, 8, 8),), ((1, 8, 8, 8),)), (((),), ((),))):
        assert NodeRun("s", 0, "n", "Conv", 1.0, inputs, outputs).flops == 0
