"""What can be quantized, cut into blocks: a part of a network whose layers are quantized or kept together."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import onnx
from onnx import helper

from .stage_graph import Constant, StageGraph

CONVOLUTIONS, MATRICES = "convolutions", "matrices"

#: Of the elements of a graph's matrices, what one must have to be worth it.
_LEAST_SHARE = 1e-3
#: Residual units that a block of a network has at most where errors are in the codes, and so in every image: there
#: quantizing a part may be all that can be done. Other networks are cut where the resolution halves.
_MOST_UNITS, _FEW_UNITS = 3, 2
#: Names that the exporter gives weights: of a residual unit, of convolutions on one map of features, of a matrix.
_UNIT, _BRANCHES = re.compile(r"\bbody\.(\d+)\."), re.compile(r"\bbranches\.(?:(\d+)\.)?")


@dataclass(frozen=True)
class Block:
    """Layers that share a fate: ``constants`` are their weights, by where they are kept."""

    name: str
    kind: str
    constants: frozenset[Constant]
    parameters: int


def find_blocks(graphs: Mapping[str, StageGraph]) -> tuple[Block, ...]:
    """The blocks of a bundle's graphs, in the order of the data.

    Convolutions by residual units (numbered from 1), then what branches off them; matrices by their kind: w1, w2, and
    those per layer. The convolutions that read pictures are in no block: they are little work, OpenVINO 2026.4 gets
    the 7x7 one of six channels wrong by 17 % in INT8, and TensorRT has no FP8 kernels for such filters. Nor are weights
    so small that the exporter keeps them inside their graphs.
    """
    members: dict[tuple[str, str], dict[Constant, int]] = {}
    for graph in graphs.values():
        for part, weight in _convolutions(graph) if graph.convolves else _matrices(graph):
            where = graph.constant(weight)
            if where is not None and not any(where in block for block in members.values()):
                kind = CONVOLUTIONS if graph.convolves else MATRICES
                members.setdefault((f"{graph.stage} {part}", kind), {})[where] = prod(graph.shape(weight) or ())
    return tuple(Block(*key, frozenset(sizes), sum(sizes.values())) for key, sizes in members.items())


def readers(graphs: Mapping[str, StageGraph], blocks: Iterable[Block]) -> dict[tuple[str, str], str | None]:
    """By stage and tensor, the block whose convolution reads it; None where that convolution is in no block."""
    owners = {constant: block.name for block in blocks for constant in block.constants}
    found: dict[tuple[str, str], str | None] = {}
    for stage, graph in graphs.items():
        for node in graph.convolutions() if graph.convolves else ():
            constant = graph.constant(node.input[1])
            owner = owners.get(constant) if constant is not None else None
            found[stage, node.input[0]] = found.get((stage, node.input[0])) or owner
    return found


def _convolutions(graph: StageGraph) -> Iterator[tuple[str, str]]:
    """Every convolution that is in a block: the block's part of the graph, and its weight's name."""
    nodes = [node for node in graph.convolutions() if not graph.reads_pictures(node.input[0])]
    pieces = _pieces(nodes, fine=graph.gives_codes)
    for node in nodes:
        weight = node.input[1]
        if unit := _UNIT.search(weight):
            yield next(_named(piece) for piece in pieces if int(unit[1]) in piece), weight
        elif branches := _BRANCHES.search(weight):
            yield (f"branches {int(branches[1]) + 1}" if branches[1] else "branches"), weight
        else:
            yield "others", weight


def _pieces(nodes: Iterable[onnx.NodeProto], fine: bool) -> list[range]:
    """The residual units of a network in pieces, from one halving of the resolution to the next, or finer."""
    strides: dict[int, int] = {}
    for node in nodes:
        if unit := _UNIT.search(node.input[1]):
            strides[int(unit[1])] = max(strides.get(int(unit[1]), 1), _stride(node))
    if not strides:
        return []
    starts = [unit for unit in sorted(strides) if unit == min(strides) or strides[unit] > 1]
    pieces = [range(*pair) for pair in pairwise([*starts, max(strides) + 1])]
    if not fine:
        return pieces
    steps = [len(piece) if len(piece) <= _MOST_UNITS else _FEW_UNITS for piece in pieces]
    return [
        range(first, min(first + step, piece.stop))
        for piece, step in zip(pieces, steps, strict=True)
        for first in piece[::step]
    ]


def _named(piece: range) -> str:
    return f"unit {piece[0] + 1}" if len(piece) == 1 else f"units {piece[0] + 1}-{piece[-1] + 1}"


def _stride(node: onnx.NodeProto) -> int:
    strides = [helper.get_attribute_value(entry) for entry in node.attribute if entry.name == "strides"]
    return max(strides[0]) if strides else 1


def _matrices(graph: StageGraph) -> Iterator[tuple[str, str]]:
    """Every matrix that is in a block: the block's part of the graph, and its name such as `shared.w2_transposed`."""
    names = list(dict.fromkeys(name for _, name in graph.products()))
    sizes = {name: prod(graph.shape(name) or ()) for name in names}
    for name in names:
        if sizes[name] >= _LEAST_SHARE * sum(sizes.values()):
            _, shared, matrix = name.rpartition("shared.")
            yield (matrix.removesuffix("_transposed") if shared else "per layer"), name
