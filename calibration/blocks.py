"""What can be quantized, cut into blocks: a part of a network whose layers are quantized or kept together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import CalibrationError
from .formats import Format
from .stage_graph import Constant, StageGraph

CONVOLVING = ("encoder", "hypernet")
MULTIPLYING = ("offsets", "weights")
STAGES = (*CONVOLVING, *MULTIPLYING)

#: Constants of `offsets` from this many elements on are worth it; smaller ones are not 1/1000 of a bundle.
_LEAST_MATRIX = 1 << 14
#: FP8 convolutions have no kernels for filters of more elements, nor for groups.
_LARGEST_FP8_FILTER = 32
#: IR-SE50's residual units and ResNet-34's blocks, by the number of the first one of each resolution.
_RESOLUTIONS = {"encoder": (0, 3, 7, 21), "hypernet": (0, 3, 7, 13)}


@dataclass(frozen=True)
class Block:
    """Layers that share a fate: ``constants`` are their weights, by where they are kept."""

    name: str
    kind: str
    constants: frozenset[Constant]
    parameters: int


def find_blocks(graphs: Mapping[str, StageGraph], form: Format) -> tuple[Block, ...]:
    """The blocks of a bundle's graphs, in the order of the data.

    Convolutions of `encoder` and `hypernet` by resolution, the branches of `hypernet`, and the matrices of `offsets`:
    w1, w2, and those per layer. Convolutions of `synthesis` have run-time kernels and stay as they are.
    """
    members: dict[tuple[str, str], dict[Constant, int]] = {}
    for stage in CONVOLVING:
        graph = graphs[stage]
        for node in graph.convolutions():
            shape = graph.shape(node.input[1]) or ()
            if form.name == "fp8" and shape[2] * shape[3] > _LARGEST_FP8_FILTER:
                continue
            _add(members, graph, node.input[1], (f"{stage} {_part(stage, node.input[1])}", "convolutions"))
    for _, name in graphs["offsets"].products(_LEAST_MATRIX):
        _add(members, graphs["offsets"], name, (f"offsets {_matrix(name)}", "matrices"))
    return tuple(
        Block(name, kind, frozenset(sizes), sum(sizes.values())) for (name, kind), sizes in members.items() if sizes
    )


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


def _part(stage: str, weight: str) -> str:
    """The block of a convolution by its weight's name, such as `encoder.body.5.res_layer.1.weight`."""
    found = re.search(r"\bbody\.(\d+)\.", weight)
    if found:
        number = int(found[1])
        return f"resolution {sum(number >= first for first in _RESOLUTIONS[stage])}"
    return "branches" if weight.startswith(("merged.", "rest.")) else "input"


def _matrix(weight: str) -> str:
    """The block of a matrix of `offsets` by its name, such as `shared.w2_transposed` or `blocks.14.matrix`."""
    if weight.startswith("shared."):
        return weight.removeprefix("shared.").removesuffix("_transposed")
    return "per layer"
