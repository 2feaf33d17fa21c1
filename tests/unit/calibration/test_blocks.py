"""The blocks of bundles: what they hold, and what is in none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperstyle_deploy.calibration.blocks import find_blocks
from hyperstyle_deploy.calibration.stage_graph import StageGraph, stage_graphs
from hyperstyle_deploy.runtime.bundle.reader import Bundle

Tinies = Callable[..., Path]
#: The blocks of the trained model, and of pSp in the tiny layout. Errors of what gives codes are in every image, so it
#: is cut finer.
BLOCKS = {
    "hyperstyle": [
        *("encoder unit 1", "encoder unit 2", "encoder unit 3", "encoder unit 4"),
        *("hypernet unit 1", "hypernet unit 2", "hypernet unit 3", "hypernet unit 4", "hypernet branches"),
        *("offsets w2", "offsets w1", "offsets per layer"),
    ],
    "psp": [
        *("encoder units 1-2", "encoder unit 3", "encoder units 4-5", "encoder unit 6", "encoder others"),
        *("encoder branches 1", "encoder branches 2", "encoder branches 3"),
    ],
}
PUBLISHED = {
    "encoder": ("1-3", "4-5", "6-7", "8-9", "10-11", "12-13", "14-15", "16-17", "18-19", "20-21", "22-24"),
    "hypernet": ("1-3", "4-7", "8-13", "14-16"),
}


@pytest.mark.parametrize("method", ["hyperstyle", pytest.param("psp", marks=pytest.mark.exhaustive)])
def test_the_blocks_of_a_method(tinies: Tinies, method: str) -> None:
    names = [block.name for block in find_blocks(stage_graphs(Bundle.open(tinies(method))))]
    assert sorted(names) == sorted(BLOCKS[method])
    units = [name for name in names if "unit" in name]
    assert units == [name for name in BLOCKS[method] if "unit" in name]  # in the order of the data


def test_the_published_networks_are_cut_where_the_resolution_halves(faces256_bundle: Path) -> None:
    names = [block.name for block in find_blocks(stage_graphs(Bundle.open(faces256_bundle)))]
    convolving = [f"{stage} units {part}" for stage, parts in PUBLISHED.items() for part in parts]
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


def test_channel_attention_is_in_no_block(graphs: dict[str, StageGraph]) -> None:
    found = {node.input[1] for node in graphs["encoder"].convolutions()}
    kept = {node.input[1] for node in graphs["encoder"].nodes if node.op_type == "Conv"} - found
    assert len(kept) == 2 * 4  # two of every unit
    assert all("fc1" in name or "fc2" in name for name in kept)


def test_matrices_are_found_in_both_graphs(graphs: dict[str, StageGraph]) -> None:
    matrices = {c for block in find_blocks(graphs) if block.kind == "matrices" for c in block.constants}
    for stage in ("offsets", "weights"):
        assert matrices == {graphs[stage].constant(name) for _, name in graphs[stage].products()}
    assert sum(b.parameters for b in find_blocks(graphs) if b.kind == "matrices") > 50_000


@pytest.mark.parametrize("method", ["restyle-e4e", "hyperstyle"])
def test_what_draws_is_left_alone(toys: Tinies, method: str) -> None:
    graphs = stage_graphs(Bundle.open(toys(method)))
    assert set(graphs) == ({"encoder"} if method != "hyperstyle" else {"encoder", "hypernet", "offsets", "weights"})
