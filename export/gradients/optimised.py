"""Which optimisations an export is to have gradient graphs for, and what these are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...errors import ExportError
from ..comparison import outputs_of
from ..graphs import Graph
from ..methods.model import Model
from ..precision import Precision
from .criterion import Criterion, features_graph
from .graph import GradientGraph
from .projection import projection_constants, projection_graphs
from .tuning import tuning_constants, tuning_graphs

#: The optimisations by name, and how many graphs each has.
GRAPH_COUNTS = {"projection": 4, "pti": 4, "pti-locality": 1}
#: The files of constants that gradient graphs have of their own.
GRADIENTS_GROUP = "gradients"


@dataclass(frozen=True)
class Optimised:
    """Gradient graphs for the optimisations ``names``, of losses that ``criterion`` says."""

    names: Sequence[str]
    criterion: Criterion = field(default_factory=Criterion)

    def provenance(self) -> dict[str, object]:
        """What the manifest says of the losses."""
        if not self.names:
            return {}
        return {"gradients": {"for": list(self.names), "terms": list(self.criterion.terms), **self.criterion.networks}}

    def graph_count(self, model: Model) -> int:
        """How many graphs ``graphs`` gives."""
        count = sum(GRAPH_COUNTS[name] for name in self.names) + bool(self.names and self.criterion.networks)
        return count + ("pti" in self.names and model.hypernet is not None)

    def constants(self, model: Model) -> dict[str, Tensor]:
        """Constants of the bundle that the optimisations take."""
        found = projection_constants(model, self.criterion) if "projection" in self.names else {}
        return {**found, **(tuning_constants(self.criterion) if "pti" in self.names else {})}

    def graphs(self, model: Model) -> Iterator[Graph]:
        """The graphs, each made when it is asked for."""
        if self.names and self.criterion.networks:
            yield features_graph(self.criterion, model.image)
        if "projection" in self.names:
            yield from projection_graphs(model, self.criterion)
        if "pti" in self.names:
            yield from tuning_graphs(model, self.criterion, "pti-locality" in self.names)


def check_gradients(names: Sequence[str], precision: Precision, perceptual: object | None) -> None:
    """See that gradient graphs can be exported.

    Raises:
        ExportError: an unknown optimisation; or a precision that gradients would overflow or vanish in.
    """
    if unknown := sorted(set(names) - set(GRAPH_COUNTS)):
        raise ExportError("Unknown optimisation", got=", ".join(unknown), expected=" or ".join(GRAPH_COUNTS))
    if "pti-locality" in names and "pti" not in names:
        raise ExportError("pti-locality comes with pti", got=", ".join(names), hint="Add --gradients pti.")
    if perceptual is not None and not names:
        raise ExportError("LPIPS is for the losses of gradient graphs", hint="Say which with --gradients.")
    if names and precision.rescaled:
        raise ExportError(
            "Gradient graphs are float32",
            got=f"a bundle in {precision.name}",
            hint="Export with --precision fp32, or without --gradients.",
        )


def expected_of(graph: Graph) -> list[Tensor]:
    """What a graph should give for its sample inputs: of a gradient by autograd in float64."""
    return graph.expected() if isinstance(graph, GradientGraph) else outputs_of(graph)
