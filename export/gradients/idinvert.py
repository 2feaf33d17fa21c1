"""IDInvert's optimisation (Zhu et al., ECCV 2020): the gradient of its loss with respect to codes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...runtime.methods.base import CODES, RECONSTRUCTION
from ...runtime.methods.idinvert import GRADIENT_GRAPH
from ...runtime.methods.optimisation import FEATURE, GRADIENT, LOSS, LOSS_WEIGHT, NORMS, TARGET
from ..graphs import Graph, Samples, noise_names
from ..methods.model import IdInvertModel
from ..stages.stylegan1 import FoldedEncoder, StyleGan1Drawing, noises_of
from .criterion import Criterion, feature_inputs
from .graph import adam_graph, gradient_graph, lengths
from .losses import mean_square
from .tracing import Objective, Tensors

#: The authors' weights of the terms.
WEIGHTS = {"mse": 1.0, "feature": 5e-5, "encoder": 2.0}
#: Before the names of the terms, in those of their weights.
PREFIX = f"{LOSS_WEIGHT}idinvert."


class InDomainObjective(Objective):
    """``sum of weight * term`` of what codes draw: the criterion's, and ``encoder = mean (codes - E(G(codes)))^2``.

    The last one holds the codes where the encoder would put the picture that they draw: in its domain.
    """

    variables = (CODES,)

    def __init__(self, model: IdInvertModel, criterion: Criterion) -> None:
        super().__init__()
        self.drawing, self.encoder = StyleGan1Drawing(model.generator), FoldedEncoder(model.encoder)
        self.noises = noise_names(model.layers)
        self.criterion = criterion
        self.terms = (*criterion.terms, "encoder")

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        codes = inputs[CODES]
        picture = self.drawing(codes, [inputs[name] for name in self.noises])
        features = [tensor for name, tensor in inputs.items() if name.startswith(FEATURE)]
        distance = mean_square(codes - self.encoder(picture))
        terms = {**self.criterion(picture, inputs[TARGET], features), "encoder": distance}
        loss = torch.stack([terms[term] * inputs[f"{PREFIX}{term}"][0] for term in self.terms]).sum()
        told = {f"{LOSS}{term}": value.reshape(1) for term, value in terms.items()}
        return loss, {**told, RECONSTRUCTION: picture}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        gradient = gradients[CODES]
        return {f"{GRADIENT}{CODES}": gradient, NORMS: lengths([gradient])}


def descent_graphs(model: IdInvertModel, criterion: Criterion) -> Iterator[Graph]:
    """The graphs of IDInvert's optimisation."""
    objective = InDomainObjective(model, criterion)
    sample = Samples(model.image)
    target = sample.reconstruction[:1]
    inputs = {
        CODES: sample.codes(model.latent_avg)[:1],
        TARGET: target,
        **feature_inputs(criterion, target),
        **dict(zip(objective.noises, noises_of(model.generator), strict=True)),
        **loss_weights(criterion),
    }
    outputs = (f"{GRADIENT}{CODES}", NORMS, *(f"{LOSS}{term}" for term in objective.terms), RECONSTRUCTION)
    yield gradient_graph(GRADIENT_GRAPH, objective, inputs, outputs)
    yield adam_graph(CODES, inputs[CODES].shape)


def loss_weights(criterion: Criterion) -> dict[str, Tensor]:
    """The usual weights of the terms, constants of the bundle."""
    return {f"{PREFIX}{term}": torch.tensor([WEIGHTS[term]]) for term in (*criterion.terms, "encoder")}
