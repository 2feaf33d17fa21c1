"""What can be quantized, cut into blocks: a part of a network whose layers are quantized or kept together."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import CalibrationError
from .stage_graph import Constant, StageGraph

CONVOLVING = ("encoder", "hypernet")
MULTIPLYING = ("offsets", "weights")
STAGES = (*CONVOLVING, *MULTIPLYING)

#: Constants of `offsets` from this many elements on are worth it; smaller ones are not 1/1000 of a bundle.
_LEAST_MATRIX = 1 << 14
#: First residual unit of every block. ResNet-34 is cut by resolution. IR-SE50, whose resolutions start at 0, 3, 7 and
#: 21, is cut finer: its errors are in the codes and so in every image, so it is what gets quantized in part.
_CUTS = {"encoder": (0, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21), "hypernet": (0, 3, 7, 13)}
_UNITS = {"encoder": 24, "hypernet": 16}


@dataclass(frozen=True)
class Block:
    """Layers that share a fate: ``constants`` are their weights, by where they are kept."""

    name: str
    kind: str
    constants: frozenset[Constant]
    parameters: int


def find_blocks(graphs: Mapping[str, StageGraph]) -> tuple[Block, ...]:
    """The blocks of a bundle's graphs, in the order of the data.

    Convolutions of `encoder` and `hypernet` by residual units (numbered from 1), the branches of `hypernet`, and the
    matrices of `offsets`: w1, w2, and those per layer. Convolutions of `synthesis` have run-time kernels and stay as
    they are; so do the two that read images: they are little work, OpenVINO 2026.4 gets the hypernetwork's wrong by
    17 % in INT8, and TensorRT has no FP8 kernels for 7x7 filters.
    """
    members: dict[tuple[str, str], dict[Constant, int]] = {}
    for stage in CONVOLVING:
        graph = graphs[stage]
        for node in graph.convolutions():
            if (part := _part(stage, node.input[1])) is not None:
                _add(members, graph, node.input[1], (f"{stage} {part}", "convolutions"))
    for _, name in graphs["offsets"].products(_LEAST_MATRIX):
        _add(members, graphs["offsets"], name, (f"offsets {_matrix(name)}", "matrices"))
    return tuple(
        Block(name, kind, frozenset(sizes), sum(sizes.values())) for (name, kind), sizes in members.items() if sizes
    )


def readers(graphs: Mapping[str, StageGraph], blocks: Iterable[Block]) -> dict[tuple[str, str], str | None]:
    """By stage and tensor, the block whose convolution reads it; None where that convolution is in no block."""
    owners = {constant: block.name for block in blocks for constant in block.constants}
    found: dict[tuple[str, str], str | None] = {}
    for stage in CONVOLVING:
        for node in graphs[stage].convolutions():
            constant = graphs[stage].constant(node.input[1])
            owner = owners.get(constant) if constant is not None else None
            found[stage, node.input[0]] = found.get((stage, node.input[0])) or owner
    return found


def _add(
    members: dict[tuple[str, str], dict[Constant, int]], graph: StageGraph, weight: str, key: tuple[str, str]
) -> None:
    constant, shape = graph.constant(weight), graph.shape(weight)
    if constant is None or shape is None:
        raise CalibrationError(f"A weight of {graph.stage} is kept inside its graph", got=weight)
    size = 1
    for dim in shape:
        size *= dim
    members.setdefault(key, {})[constant] = size


def _part(stage: str, weight: str) -> str | None:
    """The block of a convolution by its weight's name, such as `encoder.body.5.res_layer.1.weight`; None: no block."""
    found = re.search(r"\bbody\.(\d+)\.", weight)
    if not found:
        return "branches" if weight.startswith(("merged.", "rest.")) else None
    cuts = (*_CUTS[stage], _UNITS[stage])
    last = next(cut for cut in cuts if cut > int(found[1]))
    return f"units {cuts[cuts.index(last) - 1] + 1}-{last}"


def _matrix(weight: str) -> str:
    """The block of a matrix of `offsets` by its name, such as `shared.w2_transposed` or `blocks.14.matrix`."""
    if weight.startswith("shared."):
        return weight.removeprefix("shared.").removesuffix("_transposed")
    return "per layer"
