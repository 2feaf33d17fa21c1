"""PTI (Roich et al. 2022): the gradient with respect to every number of the generator, and what draws with them."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ...runtime.methods.base import BATCH, CODES, IMAGE, RECONSTRUCTION
from ...runtime.methods.hyperstyle import OFFSET_CODES
from ...runtime.methods.optimisation import FEATURE, GRADIENT, LOCALITY, LOSS, LOSS_WEIGHT, NORMS, TARGET
from ...runtime.methods.tuning import DIFFERENCES, GRADIENT_GRAPH, LATENT, LOCALITY_GRAPH, START_GRAPH, Tuning
from ..graphs import Graph, Samples
from ..methods.model import Model
from ..precision import FLOAT32
from ..stages.offsets import OffsetsStage
from ..stages.synthesis import Reconstruction
from .criterion import Criterion, feature_inputs
from .graph import adam_graph, gradient_graph, lengths
from .tracing import Objective, Tensors
from .tunable import Tunable, noise_buffers, relative_offsets, without_noise

#: Before the names of the terms, in those of their weights.
PREFIX = f"{LOSS_WEIGHT}pti."
#: Of the regulariser: its weight, how far from the pivot it looks, and how far mapped latents are from the average.
LOCALITY_WEIGHT, DISTANCE, TRUNCATION = 0.1, 30.0, 0.5


class Noises(nn.Module):
    """The checkpoint's noises; as constants, since what is added to activations depends on tuned strengths."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.buffers_ = nn.ParameterList(noise_buffers(model.generator))

    def forward(self) -> Iterator[Tensor]:
        return iter(list(self.buffers_))


class TuningObjective(Objective):
    """``sum of weight * term`` of what the generator with ``differences`` draws of the pivot."""

    variables = (DIFFERENCES,)

    def __init__(self, model: Model, criterion: Criterion) -> None:
        super().__init__()
        self.tunable, self.noises = Tunable(model.generator, model.layers), Noises(model)
        self.reconstruction = Reconstruction(model.layers[-1].resolution, model.image)
        self.criterion, self.terms = criterion, criterion.terms

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        drawing = self.tunable(inputs[CODES], self.tunable.tensors(inputs[DIFFERENCES]), self.noises())
        reconstruction = self.reconstruction(drawing)
        features = [tensor for name, tensor in inputs.items() if name.startswith(FEATURE)]
        terms = self.criterion(reconstruction, inputs[TARGET], features)
        loss = torch.stack([terms[term] * inputs[f"{PREFIX}{term}"][0] for term in self.terms]).sum()
        told = {f"{LOSS}{term}": value.reshape(1) for term, value in terms.items()}
        return loss, {**told, RECONSTRUCTION: reconstruction}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        gradient = gradients[DIFFERENCES]
        return {f"{GRADIENT}{DIFFERENCES}": gradient, NORMS: lengths(self.tunable.split(gradient))}


class LocalityObjective(Objective):
    """How far tuning changes what the generator draws near the pivot, without noise (section 3.2 of the paper).

    A latent is mapped and truncated by half; the code is 30 away from the pivot into its direction, over all rows. What
    the untuned generator draws there is the target.
    """

    variables = (DIFFERENCES,)

    def __init__(self, model: Model, objective: TuningObjective) -> None:
        super().__init__()
        self.tunable, self.criterion, self.mapping = objective.tunable, objective.criterion, model.generator.style
        self.reconstruction = objective.reconstruction
        self.average = nn.Parameter(model.latent_avg[:1])
        self.silence = nn.ParameterList(without_noise(model.layers))

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        pivot = inputs[CODES]
        away = self.average + (self.mapping(inputs[LATENT]) - self.average) * TRUNCATION - pivot
        codes = pivot + away * (DISTANCE / away.square().sum().sqrt())
        tuned, untuned = (
            self.reconstruction(self.tunable(codes, self.tunable.tensors(moved), iter(list(self.silence))))
            for moved in (inputs[DIFFERENCES], torch.zeros_like(inputs[DIFFERENCES]))
        )
        terms = self.criterion(tuned, untuned, self.criterion.features(untuned))
        loss = torch.stack(list(terms.values())).sum()
        return loss * inputs[f"{PREFIX}{LOCALITY}"][0], {f"{LOSS}{LOCALITY}": loss.reshape(1)}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        return {f"{GRADIENT}{DIFFERENCES}": gradients[DIFFERENCES]}


class TunedSynthesis(nn.Module):
    """Codes and a person's differences to the image and the reconstruction."""

    def __init__(self, model: Model, tunable: Tunable) -> None:
        super().__init__()
        self.tunable, self.noises, self.rows = tunable, Noises(model), model.image.rows
        self.reconstruction = Reconstruction(model.layers[-1].resolution, model.image)

    def forward(self, codes: Tensor, differences: Tensor) -> tuple[Tensor, Tensor]:
        drawing = self.tunable(codes, self.tunable.tensors(differences), self.noises())
        return drawing[:, :, slice(*self.rows)], self.reconstruction(drawing)


class StartStage(nn.Module):
    """HyperStyle's offset codes to differences: where tuning starts on its bundles."""

    def __init__(self, offsets: OffsetsStage, names: Sequence[str], tunable: Tunable) -> None:
        super().__init__()
        self.offsets, self.names, self.tunable = offsets, tuple(names), tunable

    def forward(self, codes: Tensor, steps: Tensor) -> Tensor:
        return relative_offsets(self.tunable, dict(zip(self.names, self.offsets(codes, steps), strict=True)))


def tuning_graphs(model: Model, criterion: Criterion, locality: bool = False) -> Iterator[Graph]:
    """The graphs of `pti`, with ``locality`` also that of its regulariser."""
    objective = TuningObjective(model, criterion)
    inputs = _sample_inputs(model, criterion, objective.tunable)
    outputs = (f"{GRADIENT}{DIFFERENCES}", NORMS, *(f"{LOSS}{term}" for term in objective.terms), RECONSTRUCTION)
    yield gradient_graph(GRADIENT_GRAPH, objective, inputs, outputs)
    codes = Samples(model.image).codes(model.latent_avg)
    several = Tunable(model.generator, model.layers, single=False)
    drawn = (codes, several), (codes[:1], objective.tunable)
    for name, (rows, tunable) in zip(Tuning.syntheses, drawn, strict=True):
        drawing, axes = TunedSynthesis(model, tunable), ({0: BATCH} if len(rows) > 1 else None, None)
        args, named = (rows, inputs[DIFFERENCES]), (CODES, DIFFERENCES)
        yield Graph(name, drawing, args, axes, named, (IMAGE, RECONSTRUCTION))
    yield adam_graph(DIFFERENCES, inputs[DIFFERENCES].shape)
    if locality:
        latent = torch.randn(1, model.generator.shape.width, generator=torch.Generator().manual_seed(3))
        weight = {f"{PREFIX}{LOCALITY}": torch.tensor([LOCALITY_WEIGHT])}
        near = {DIFFERENCES: inputs[DIFFERENCES], CODES: codes[:1], LATENT: latent, **weight}
        told = (f"{GRADIENT}{DIFFERENCES}", f"{LOSS}{LOCALITY}")
        yield gradient_graph(LOCALITY_GRAPH, LocalityObjective(model, objective), near, told)
    if model.hypernet is not None:
        offsets = OffsetsStage(model.hypernet, model.layers, FLOAT32)
        start = StartStage(offsets, [layer.name for layer in model.tuned], objective.tunable)
        sample = Samples(model.image).offset_codes(2 if model.bilinear else 1, model.hypernet)
        axes = ({0: "kept_steps"} if model.bilinear else None, None)
        yield Graph(START_GRAPH, start, (sample, torch.tensor(2.0)), axes, (OFFSET_CODES, "steps"), (DIFFERENCES,))


def tuning_constants(criterion: Criterion) -> dict[str, Tensor]:
    """The usual weights of the loss: every term counts once, as PTI's authors have it."""
    terms = {f"{PREFIX}{term}": torch.ones(1) for term in criterion.terms}
    return {**terms, f"{PREFIX}{LOCALITY}": torch.tensor([LOCALITY_WEIGHT])}


def _sample_inputs(model: Model, criterion: Criterion, tunable: Tunable) -> dict[str, Tensor]:
    """Inputs to trace on, by name in order."""
    sample = Samples(model.image)
    target = sample.reconstruction[:1]
    generate = torch.Generator().manual_seed(2)
    return {
        DIFFERENCES: 0.01 * torch.randn(1, tunable.size, generator=generate),
        TARGET: target,
        **feature_inputs(criterion, target),
        CODES: sample.codes(model.latent_avg)[:1],
        **{f"{PREFIX}{term}": torch.ones(1) for term in criterion.terms},
    }
