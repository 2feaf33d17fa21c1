"""The blocks of a real bundle: what they hold, and what is in none."""

import pytest

from hyperstyle_deploy.calibration.blocks import find_blocks
from hyperstyle_deploy.calibration.stage_graph import StageGraph

ENCODER = ("1-3", "4-5", "6-7", "8-9", "10-11", "12-13", "14-15", "16-17", "18-19", "20-21", "22-24")
HYPERNET = ("1-3", "4-7", "8-13", "14-16")


def test_the_blocks_in_the_order_of_the_data(graphs: dict[str, StageGraph]) -> None:
    names = [block.name for block in find_blocks(graphs)]
    convolving = [f"encoder units {part}" for part in ENCODER] + [f"hypernet units {part}" for part in HYPERNET]
    assert names[:16] == [*convolving, "hypernet branches"]
    assert set(names[16:]) == {"offsets w1", "offsets w2", "offsets per layer"}


@pytest.mark.parametrize("stage", ["encoder", "hypernet"])
def test_every_convolution_but_the_first_is_in_one_block(graphs: dict[str, StageGraph], stage: str) -> None:
    blocks = find_blocks(graphs)
    counts = [
        sum(graphs[stage].constant(node.input[1]) in block.constants for block in blocks)
        for node in graphs[stage].convolutions()
    ]
    assert counts == [0] + [1] * (len(counts) - 1)


def test_matrices_are_found_in_both_graphs(graphs: dict[str, StageGraph]) -> None:
    matrices = {c for block in find_blocks(graphs) if block.kind == "matrices" for c in block.constants}
    for stage in ("offsets", "weights"):
        assert matrices == {graphs[stage].constant(name) for _, name in graphs[stage].products()}
    assert sum(b.parameters for b in find_blocks(graphs) if b.kind == "matrices") > 0.25e9
