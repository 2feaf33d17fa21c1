"""What a loss is made of: terms by name between a picture and a target, and what of the target is computed once."""

import torch
from torch import Tensor, nn

from ...runtime.manifest.manifest import ImageSpec
from ...runtime.methods.optimisation import FEATURE, FEATURES_GRAPH, TARGET
from ..graphs import Graph, Samples
from .losses import mean_square, multiscale


class Criterion(nn.Module):
    """Terms between pictures [1, 3, H, W] in [-1, 1]: squares alone, of no network, as ``losses.multiscale`` says."""

    terms: tuple[str, ...] = ("mse", "multiscale")

    @property
    def networks(self) -> dict[str, str]:
        """Which networks there are and where they are from, for the manifest."""
        return {}

    def features(self, picture: Tensor) -> list[Tensor]:
        """What a network sees in a picture; nothing here."""
        return []

    def forward(self, picture: Tensor, target: Tensor, features: list[Tensor]) -> dict[str, Tensor]:
        """Every term, a scalar each; ``features`` are the target's."""
        difference = picture - target
        return {"mse": mean_square(difference), "multiscale": multiscale(difference)}


class MeanSquare(Criterion):
    """``mse`` alone."""

    terms = ("mse",)

    def forward(self, picture: Tensor, target: Tensor, features: list[Tensor]) -> dict[str, Tensor]:
        return {"mse": mean_square(picture - target)}


class Features(nn.Module):
    """What the criterion's network sees in the target."""

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, target: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.criterion.features(target))


def features_graph(criterion: Criterion, image: ImageSpec) -> Graph:
    """The graph `features`, run once a photo."""
    target = Samples(image).reconstruction[:1]
    outputs = tuple(feature_inputs(criterion, target))
    return Graph(FEATURES_GRAPH, Features(criterion), (target,), (None,), (TARGET,), outputs)


@torch.no_grad()
def feature_inputs(criterion: Criterion, target: Tensor) -> dict[str, Tensor]:
    """The target's features by the names that graphs give them."""
    return {f"{FEATURE}{index}": feature for index, feature in enumerate(criterion.features(target))}
