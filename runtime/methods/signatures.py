"""Compare a bundle's graphs with what its method needs of them."""

from collections.abc import Iterable, Sequence

from ..manifest.checks import wrong
from ..manifest.manifest import GraphSpec, StateSpec, TensorSpec


def check_graph(
    name: str, graph: GraphSpec | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """See that a graph of the bundle takes and gives what a method says.

    Raises:
        BundleError: it does not, or there is none.
    """
    if graph is None:
        raise wrong("graphs", f"no {name}", "every graph of the method")
    for kind, found, expected in (
        ("inputs", graph.inputs, inputs),
        ("outputs", graph.outputs, outputs),
    ):
        if found == expected:
            continue
        places = [index for index, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]]
        if places:
            raise wrong(f"graphs[{name}].{kind}[{places[0]}]", found[places[0]], expected[places[0]])
        raise wrong(f"graphs[{name}].{kind}", f"{len(found)} tensors", len(expected))


def told(state: Iterable[StateSpec]) -> str:
    """Arrays of a state with their shapes, in words."""
    return ", ".join(f"{array.name} {list(array.shape)}" for array in state)
