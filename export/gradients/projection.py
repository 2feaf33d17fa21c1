"""StyleGAN2's projection (Karras et al. 2020, appendix D): gradients with respect to codes and noise buffers."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ...runtime.manifest.layers import Layer
from ...runtime.methods.base import CODES, RECONSTRUCTION
from ...runtime.methods.optimisation import GRADIENT, LOSS, LOSS_WEIGHT, NORMS, TARGET
from ...runtime.methods.projection import AVERAGE_W, GRADIENT_GRAPH, NOISES, NOISES_GRAPH, PERTURBATION, SHARED
from ..graphs import Graph, Samples, noise_names
from ..methods.model import Model
from ..networks.layers import SQRT2
from ..networks.stylegan2 import Generator
from ..precision import FLOAT32
from ..stages.offsets import base_weight, energy
from ..stages.scales import activation_scales
from ..stages.synthesis import Drawing, Reconstruction
from ..tensors import mapped_latents
from .criterion import Criterion, feature_inputs
from .graph import adam_graph, gradient_graph, lengths
from .losses import noise_correlation
from .tracing import Objective, Tensors

#: Before the names of the terms, in those of their weights.
PREFIX = f"{LOSS_WEIGHT}projection."


def split_noises(noises: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    """All buffers in one row [1, n] to each convolution's [1, 1, r, r]."""
    sides = [layer.resolution for layer in layers if layer.demodulated]
    parts = noises.split([side * side for side in sides], 1)
    return [part.reshape(1, 1, side, side) for part, side in zip(parts, sides, strict=True)]


def noise_gains(generator: Generator) -> list[Tensor]:
    """What a convolution's noise is multiplied by before it is added: its strength, and the activation's gain."""
    return [conv.noise.weight * SQRT2 for conv in (generator.conv1, *generator.convs)]


class Untuned(nn.Module):
    """The generator as it is, style on the activations: so a style's gradient is a sum, and no convolution's weight."""

    def __init__(self, generator: Generator, layers: tuple[Layer, ...], latent_avg: Tensor) -> None:
        super().__init__()
        scales = activation_scales(generator, layers, latent_avg, FLOAT32)
        self.drawing = Drawing(generator, layers, False, FLOAT32, scales)
        tuned = [layer for layer in layers if layer.tuned]
        weights = {layer: base_weight(generator, layer) for layer in tuned}
        energies = [energy(weight) for layer, weight in weights.items() if layer.demodulated]
        self.weights, self.energies = nn.ParameterList(weights.values()), nn.ParameterList(energies)
        self.gains = nn.ParameterList(noise_gains(generator))
        self.layers = layers

    def forward(self, codes: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Codes [1, styles, width] and noises as they were drawn, to a drawing [1, 3, size, size]."""
        folded = [noise * gain for noise, gain in zip(noises, self.gains, strict=True)]
        return self.drawing(codes, list(self.weights), list(self.energies), folded)


class ProjectionObjective(Objective):
    """``sum of weight * term`` of the reconstruction at the perturbed codes, and of the noises' correlation."""

    variables = (CODES, NOISES)

    def __init__(self, model: Model, criterion: Criterion, deviation: Tensor) -> None:
        super().__init__()
        self.untuned = Untuned(model.generator, model.layers, model.latent_avg)
        self.reconstruction = Reconstruction(model.layers[-1].resolution, model.image)
        self.criterion = criterion
        self.register_buffer("deviation", deviation)
        self.terms = (*criterion.terms, "noise")

    def forward(self, inputs: Tensors) -> tuple[Tensor, Tensors]:
        noises = split_noises(inputs[NOISES], self.untuned.layers)
        codes = inputs[CODES] + inputs[PERTURBATION] * self.deviation
        reconstruction = self.reconstruction(self.untuned(codes, noises))
        features = [tensor for name, tensor in inputs.items() if name.startswith("feature.")]
        terms = {**self.criterion(reconstruction, inputs[TARGET], features), "noise": noise_correlation(noises)}
        loss = torch.stack([terms[term] * inputs[f"{PREFIX}{term}"][0] for term in self.terms]).sum()
        told = {f"{LOSS}{term}": value.reshape(1) for term, value in terms.items()}
        return loss, {**told, RECONSTRUCTION: reconstruction}

    def finish(self, gradients: Tensors, inputs: Tensors) -> Tensors:
        """In W every row of the codes gets the sum over the rows, so that they stay equal."""
        of_codes, of_noises = gradients[CODES], gradients[NOISES]
        of_codes = torch.where(inputs[SHARED] > 0, of_codes.sum(1, keepdim=True).expand_as(of_codes), of_codes)
        buffers = split_noises(of_noises, self.untuned.layers)
        return {
            f"{GRADIENT}{CODES}": of_codes,
            f"{GRADIENT}{NOISES}": of_noises,
            NORMS: lengths([of_codes, *buffers]),
        }


class SettledNoises(nn.Module):
    """Buffers shifted to mean 0 and scaled to unit deviation (the unbiased one), and as `synthesis` takes them."""

    def __init__(self, generator: Generator, layers: tuple[Layer, ...]) -> None:
        super().__init__()
        self.layers = layers
        self.gains = nn.ParameterList(noise_gains(generator))

    def forward(self, noises: Tensor) -> tuple[Tensor, ...]:
        parts = []
        for noise in split_noises(noises, self.layers):
            flat = noise.reshape(1, -1)
            centred = flat - flat.mean(1, keepdim=True)
            parts.append(centred / (centred.square().sum(1, keepdim=True) / (flat.shape[1] - 1)).sqrt())
        settled = torch.cat(parts, 1)
        folded = [noise * gain for noise, gain in zip(split_noises(noises, self.layers), self.gains, strict=True)]
        return settled, *folded


def projection_graphs(model: Model, criterion: Criterion, latents: Tensor | None = None) -> Iterator[Graph]:
    """The graphs of `projection`; ``latents`` [n, width] are mapped for W's deviation, drawn here unless given."""
    objective = ProjectionObjective(model, criterion, w_moments(model, latents)[1])
    inputs = _sample_inputs(model, criterion, objective.terms)
    told = (*(f"{LOSS}{term}" for term in objective.terms), RECONSTRUCTION)
    outputs = (f"{GRADIENT}{CODES}", f"{GRADIENT}{NOISES}", NORMS, *told)
    yield gradient_graph(GRADIENT_GRAPH, objective, inputs, outputs)
    settled = SettledNoises(model.generator, model.layers)
    names = (f"settled_{NOISES}", *noise_names(model.layers))
    yield Graph(NOISES_GRAPH, settled, (inputs[NOISES],), (None,), (NOISES,), names)
    for variable in objective.variables:
        yield adam_graph(variable, inputs[variable].shape)


def projection_constants(model: Model, criterion: Criterion, latents: Tensor | None = None) -> dict[str, Tensor]:
    """What a projection starts at, and the usual weights of its loss."""
    average = w_moments(model, latents)[0].expand(1, model.generator.shape.styles, -1).contiguous()
    weights = loss_weights((*criterion.terms, "noise"))
    return {AVERAGE_W: average, **weights}


def w_moments(model: Model, latents: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The mean [width] of mapped latents, and the root of their mean squared distance from it, one number."""
    mapped = model.generator.style(mapped_latents(model.generator.shape.width) if latents is None else latents)
    mean = mapped.mean(0)
    return mean, ((mapped - mean).square().sum() / len(mapped)).sqrt()


def loss_weights(terms: Sequence[str]) -> dict[str, Tensor]:
    """The usual weights: the reference's, LPIPS and the noises' term alone; squares where there is no network."""
    usual = {"mse": 0.0 if "lpips" in terms else 1.0, "multiscale": 1.0, "lpips": 1.0, "noise": 1e5}
    return {f"{PREFIX}{term}": torch.tensor([usual[term]]) for term in terms}


def _sample_inputs(model: Model, criterion: Criterion, terms: Sequence[str]) -> dict[str, Tensor]:
    """Inputs to trace on, by name in order."""
    sample = Samples(model.image)
    codes = sample.codes(model.latent_avg)
    count = sum(layer.resolution**2 for layer in model.layers if layer.demodulated)
    target = sample.reconstruction[:1]
    noises = torch.randn(1, count, generator=torch.Generator().manual_seed(1))
    return {
        CODES: codes[:1],
        NOISES: noises,
        TARGET: target,
        **feature_inputs(criterion, target),
        PERTURBATION: (codes[1:] - model.latent_avg) * 0.1,
        SHARED: torch.zeros(1),
        **loss_weights(terms),
    }
