"""Which node of a stage is wrong: the first, in the order of computation, whose output leaves tolerance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...backends.base import Backend
from ..tolerance import tolerance
from .expose import Node, chunks, expose, nodes_of
from .plain_backend import PlainBackend
from .stages import StageRun
from .steps import Difference, difference


@dataclass(frozen=True)
class Fault:
    """A node whose output leaves tolerance.

    ``inputs`` is how far off what it reads was, as a share of the tolerance; near 0, the node itself is at fault.
    """

    node: str
    op: str
    output: str
    difference: Difference
    inputs: float


@dataclass(frozen=True)
class Bisection:
    """The search in one stage: how many of its nodes' outputs were compared, and the first that is out of tolerance.

    With ``fault`` None every node is within tolerance once its output is brought out, and so is computed by itself: the
    fault is then in how the backend fuses nodes.
    """

    stage: str
    step: int
    compared: int
    nodes: int
    fault: Fault | None


def bisect(reference: PlainBackend, tested: Backend, graph: Path, run: StageRun) -> Bisection:
    """Compare a stage node by node, on the reference's inputs, until one leaves tolerance.

    Differences are relative to the largest value of each tensor, whatever its size: inside a graph nothing is near 1.

    Args:
        reference: the reference, whose graph says which nodes there are.
        tested: a backend on the CPU.
        graph: its graph of this stage; tensors are compared by name.
        run: the stage and its inputs.

    Raises:
        BackendError: the backend's nodes cannot be looked at.
    """
    allowed = tolerance(tested.precision)
    ours = {node.output for node in nodes_of(graph)}
    nodes = [node for node in nodes_of(reference.bundle.graph(run.stage)) if node.output in ours]
    off: dict[str, Difference] = {}
    for piece in chunks(nodes):
        names = [node.output for node in piece]
        found = expose(tested, graph, run.stage, names, run.inputs)
        wanted = expose(reference, reference.bundle.graph(run.stage), run.stage, list(found), run.inputs)
        off |= {name: difference(found[name], wanted[name], allowed, floor=0.0) for name in found}
        if fault := _first_fault(piece, off):
            return Bisection(run.stage, run.step, len(off), len(nodes), fault)
    return Bisection(run.stage, run.step, len(off), len(nodes), None)


def _first_fault(piece: Sequence[Node], off: dict[str, Difference]) -> Fault | None:
    for node in piece:
        if node.output in off and not off[node.output].within:
            read = [off[name] for name in node.inputs if name in off]
            share = max((each.largest / each.limit for each in read if each.limit), default=0.0)
            return Fault(node.name, node.op, node.output, off[node.output], share)
    return None
