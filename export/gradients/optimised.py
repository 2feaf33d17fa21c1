"""Which optimisations an export is to have gradient graphs for, and what these are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ...errors import ExportError
from ..comparison import outputs_of
from ..graphs import Graph
from ..methods.model import AnyModel, IdInvertModel, Model
from ..methods.recognition import IDINVERT
from ..precision import Precision
from .criterion import Criterion, MeanSquare, features_graph
from .features import read_features
from .graph import GradientGraph
from .idinvert import descent_graphs, loss_weights
from .perceptual import read_lpips
from .projection import projection_constants, projection_graphs
from .tuning import tuning_constants, tuning_graphs

#: What a user may ask for by name, and how many graphs each has.
OFFERED = {"projection": 4, "pti": 4, "pti-locality": 1}
#: The same of IDInvert's own, which its bundles always have.
GRAPH_COUNTS = {**OFFERED, IDINVERT: 2}
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

    def graph_count(self, model: AnyModel) -> int:
        """How many graphs ``graphs`` gives."""
        count = sum(GRAPH_COUNTS[name] for name in self.names) + bool(self.names and self.criterion.networks)
        return count + ("pti" in self.names and isinstance(model, Model) and model.hypernet is not None)

    def constants(self, model: AnyModel) -> dict[str, Tensor]:
        """Constants of the bundle that the optimisations take."""
        if not isinstance(model, Model):
            return loss_weights(self.criterion)
        found = projection_constants(model, self.criterion) if "projection" in self.names else {}
        return {**found, **(tuning_constants(self.criterion) if "pti" in self.names else {})}

    def graphs(self, model: AnyModel) -> Iterator[Graph]:
        """The graphs, each made when it is asked for."""
        if self.names and self.criterion.networks:
            yield features_graph(self.criterion, model.image)
        if isinstance(model, IdInvertModel):
            yield from descent_graphs(model, self.criterion)
        if not isinstance(model, Model):
            return
        if "projection" in self.names:
            yield from projection_graphs(model, self.criterion)
        if "pti" in self.names:
            yield from tuning_graphs(model, self.criterion, "pti-locality" in self.names)


def optimised(
    model: AnyModel,
    names: Sequence[str],
    precision: Precision,
    lpips: tuple[Path, Path] | None,
    vgg16: Path | None,
) -> Optimised:
    """The gradient graphs of a model: those that are asked for by name; of IDInvert its own.

    Raises:
        ExportError: a network is of another method's loss, or the model is IDInvert and 16 bits or more was asked for.
        CheckpointError: a file of a network cannot be read, or holds something else.
    """
    if not isinstance(model, IdInvertModel):
        if vgg16 is not None:
            raise ExportError(
                f"{vgg16} is for the loss of IDInvert",
                got=f"a {model.method.name} checkpoint",
                hint="Leave --vgg16 out: the networks of other losses are given with --lpips.",
            )
        if names and not model.image.comparable:
            raise ExportError(
                "Optimisations bring drawings close to a photo",
                got=f"a {model.method.name} checkpoint whose input is a {model.image.kind}",
                hint="Leave --gradients out.",
            )
        return Optimised(names, Criterion() if lpips is None else read_lpips(*lpips))
    if names or lpips is not None:
        raise ExportError(
            "IDInvert has an optimisation of its own",
            got=f"--gradients {' '.join(names)}" if names else "--lpips",
            hint="Leave --gradients and --lpips out; --vgg16 brings the network of its loss.",
        )
    if precision.rescaled:
        raise ExportError(
            "IDInvert's bundles are float32, as gradients are",
            got=precision.name,
            hint="Export with --precision fp32.",
        )
    return Optimised((IDINVERT,), MeanSquare() if vgg16 is None else read_features(vgg16))


def check_gradients(names: Sequence[str], precision: Precision, perceptual: object | None) -> None:
    """See that gradient graphs can be exported.

    Raises:
        ExportError: an unknown optimisation; or a precision that gradients would overflow or vanish in.
    """
    if unknown := sorted(set(names) - set(OFFERED)):
        raise ExportError("Unknown optimisation", got=", ".join(unknown), expected=" or ".join(OFFERED))
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
