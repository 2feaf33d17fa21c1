"""The bundle's graphs: each stage with its named inputs and outputs, and sample inputs to trace and compare it on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime.manifest.layers import Layer
from ..runtime.manifest.manifest import ImageSpec
from ..runtime.methods.adaptation import ENCODER
from ..runtime.methods.adaptation import ENCODER_NOISE as FURTHER_NOISE
from ..runtime.methods.base import BATCH, KEPT_STEPS, STYLED, STYLES
from ..runtime.methods.hyperstyle import ENCODER_AVERAGE, ENCODER_NOISE
from ..runtime.methods.restyle import AVERAGE, average_of, synthesis_of
from .methods.model import EncoderLoop, IdInvertModel, Model
from .networks.encoders import Encoder
from .networks.hypernetwork import HyperNetwork
from .networks.stylegan2 import Generator
from .precision import FLOAT32, Precision
from .stages.encoder import EncoderStage
from .stages.hypernet import HypernetStage
from .stages.offsets import OffsetsStage, WeightsStage, base_weight, energy
from .stages.scales import ActivationScales, activation_scales
from .stages.stylegan1 import FoldedEncoder, StyleGan1Stage, noises_of
from .stages.synthesis import Drawing, EncoderSynthesisStage, StyledSynthesisStage, SynthesisStage, folded_noises


@dataclass(frozen=True)
class Graph:
    """One stage to export.

    ``args`` are the module's sample arguments, ``free_axes`` has their structure with a dict {axis: name} or None at
    every tensor. ``inputs`` and ``outputs`` name the flattened tensors in order.
    """

    name: str
    module: nn.Module
    args: tuple[Any, ...]
    free_axes: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Scales:
    """The activations' scales of a model's generators; ``loop`` is those of an encoder's own one."""

    generator: ActivationScales
    loop: ActivationScales | None
    further: Mapping[str, ActivationScales]
    further_loop: ActivationScales | None


def measure_scales(model: Model, precision: Precision) -> Scales:
    """The scales of ``activation_scales`` for every generator of a model."""

    def scales(loop: EncoderLoop | None) -> ActivationScales | None:
        if loop is None:
            return None
        return activation_scales(loop.generator, loop.layers, loop.latent_avg, precision)

    further = {
        each.name: activation_scales(each.generator, each.layers, model.latent_avg, precision) for each in model.further
    }
    own = activation_scales(model.generator, model.layers, model.latent_avg, precision)
    return Scales(
        own, scales(model.loop), further, scales(None if model.further_codes is None else model.further_codes.loop)
    )


def weight_names(layers: tuple[Layer, ...], of: str = "") -> tuple[str, ...]:
    """Tensors between `weights` and `synthesis`: every tuned weight, then every tuned layer's energy.

    ``of`` is "" for the method's own generator, and a further one's name with a dot.
    """
    tuned = [layer for layer in layers if layer.tuned]
    return (
        *(f"weight.{of}{layer.name}" for layer in tuned),
        *(f"energy.{of}{layer.name}" for layer in tuned if layer.demodulated),
    )


def noise_names(layers: tuple[Layer, ...], prefix: str = "noise") -> tuple[str, ...]:
    """The noises of `synthesis`, one for each 3x3 convolution, tuned or not."""
    return tuple(f"{prefix}.{layer.name}" for layer in layers if layer.demodulated)


def model_constants(model: Model, precision: Precision, scales: Scales) -> dict[str, Tensor]:
    """What the method or a graph takes by name: average codes, untuned weights and energies, noises."""
    own = Drawn(model.generator, model.layers, scales.generator)
    constants = {AVERAGE: model.latent_avg[None], **own.constants(precision)}
    for further in further_drawn(model, scales):
        constants |= further.constants(precision)
    codes = model.further_codes
    if codes is not None and codes.loop is not None and scales.further_loop is not None:
        constants[average_of(ENCODER)] = codes.loop.latent_avg[None]
        constants |= _loop_noises(codes.loop, precision, scales.further_loop, FURTHER_NOISE)
    if model.loop is not None and scales.loop is not None:
        constants[ENCODER_AVERAGE] = model.loop.latent_avg[None]
        constants |= _loop_noises(model.loop, precision, scales.loop, ENCODER_NOISE)
    return constants


@dataclass(frozen=True)
class Drawn:
    """A generator that draws images: the method's own, or a further one by its ``name``."""

    generator: Generator
    layers: tuple[Layer, ...]
    scales: ActivationScales
    name: str = ""

    @property
    def of(self) -> str:
        """Before the names of its tensors, behind their kind and a dot."""
        return f"{self.name}." if self.name else ""

    def graph(self, name: str) -> str:
        """What one of its graphs is called."""
        return f"{name}.{self.name}" if self.name else name

    @property
    def tuned(self) -> tuple[Layer, ...]:
        """The layers with offsets."""
        return tuple(layer for layer in self.layers if layer.tuned)

    def constants(self, precision: Precision) -> dict[str, Tensor]:
        """What `synthesis` takes besides codes, before any step, in its order: untuned weights, energies, noises."""
        weights = [base_weight(self.generator, layer, precision) for layer in self.tuned]
        energies = [energy(weight) for layer, weight in zip(self.tuned, weights, strict=True) if layer.demodulated]
        noises = folded_noises(self.generator, precision, self.scales)
        names = (*weight_names(self.layers, self.of), *noise_names(self.layers, self.graph("noise")))
        return dict(zip(names, (*weights, *energies, *noises), strict=True))


def further_drawn(model: Model, scales: Scales) -> list[Drawn]:
    """The further generators of a model."""
    return [Drawn(each.generator, each.layers, scales.further[each.name], each.name) for each in model.further]


def _loop_noises(loop: EncoderLoop, precision: Precision, scales: ActivationScales, prefix: str) -> dict[str, Tensor]:
    noises = folded_noises(loop.generator, precision, scales)
    return dict(zip(noise_names(loop.layers, prefix), noises, strict=True))


def graph_count(model: Model) -> int:
    """How many graphs ``build_graphs`` gives."""
    own = 3 + (model.loop is not None) + 3 * (model.hypernet is not None)
    tuned = sum(any(layer.tuned for layer in each.layers) for each in model.further)
    codes = model.further_codes
    styled = (1 + len(model.further)) * model.styles
    return own + styled + 2 * len(model.further) + tuned + (0 if codes is None else 1 + (codes.loop is not None))


def build_graphs(model: Model, precision: Precision = FLOAT32, scales: Scales | None = None) -> Iterator[Graph]:
    """The stages of a model, `synthesis` in both its forms, each made when it is asked for.

    ``scales`` are those of ``measure_scales``, measured here unless given.
    """
    scales = scales or measure_scales(model, precision)
    sample = Samples(model.image)
    yield from _encoders(model, precision, scales, sample)
    if model.hypernet is not None:
        yield _hypernet(model.hypernet, precision, sample)
        yield from _offsets(model, model.hypernet, precision, sample)
    for drawn in (Drawn(model.generator, model.layers, scales.generator), *further_drawn(model, scales)):
        if drawn.name and drawn.tuned and model.hypernet is not None:
            yield _further_weights(model, model.hypernet, drawn, precision, sample)
        yield from _syntheses(model, drawn, precision, sample)


class Samples:
    """Inputs to trace and compare graphs on. A traced size of 1 would be taken for a constant, so free axes have 2."""

    def __init__(self, image: ImageSpec) -> None:
        self._image, self._generate = image, torch.Generator().manual_seed(0)
        self.reconstruction = self._uniform(3) * 2 - 1

    def photo(self) -> Tensor:
        """What the encoder looks at, of its kind."""
        if self._image.kind == "labels":
            labels = (self._uniform(1)[:, 0] * self._image.channels).long()
            return F.one_hot(labels, self._image.channels).movedim(3, 1).float()
        values = self._uniform(self._image.channels)
        return values if self._image.kind == "sketch" else values * 2 - 1

    def codes(self, average: Tensor) -> Tensor:
        """Two codes around an average [styles, width]."""
        return average + torch.randn(2, *average.shape, generator=self._generate) * 0.3

    def offset_codes(self, steps: int, hypernet: HyperNetwork) -> Tensor:
        """Offset codes of so many steps."""
        shape = (steps, len(hypernet.shape.blocks), hypernet.shape.code)
        return torch.randn(shape, generator=self._generate) * 0.1

    def styles(self, layers: tuple[Layer, ...], rows: int) -> Tensor:
        """What is added to the styles of all layers."""
        return torch.randn(rows, sum(layer.in_channels for layer in layers), generator=self._generate) * 0.3

    def _uniform(self, channels: int) -> Tensor:
        shape = (2, channels, self._image.input_height, self._image.input_width)
        return torch.rand(shape, generator=self._generate)


def _encoders(model: Model, precision: Precision, scales: Scales, sample: Samples) -> Iterator[Graph]:
    """What gives the method its codes, and further generators theirs, each with what it looks at."""
    image = model.image
    yield _encoder("encoder", model.encoder, model.average, image, precision, sample)
    if model.loop is not None and scales.loop is not None:
        yield _encoder_synthesis("encoder", ENCODER_NOISE, model.loop, image, precision, scales.loop, sample)
    codes = model.further_codes
    if codes is not None:
        yield _encoder(ENCODER, codes.network, codes.average, image, precision, sample)
        if codes.loop is not None and scales.further_loop is not None:
            yield _encoder_synthesis(ENCODER, FURTHER_NOISE, codes.loop, image, precision, scales.further_loop, sample)


def _encoder(
    name: str, encoder: Encoder, average: Tensor | None, image: ImageSpec, precision: Precision, sample: Samples
) -> Graph:
    size = (image.input_height, image.input_width)
    pictures: tuple[Tensor, ...] = (sample.photo(),)
    if average is None:
        pictures = (*pictures, sample.reconstruction)
    return Graph(
        name,
        EncoderStage(encoder, average, size, precision),
        pictures,
        tuple({0: BATCH} for _ in pictures),
        ("image", "reconstruction")[: len(pictures)],
        ("codes",),
    )


def _encoder_synthesis(
    encoder: str,
    prefix: str,
    loop: EncoderLoop,
    image: ImageSpec,
    precision: Precision,
    scales: ActivationScales,
    sample: Samples,
) -> Graph:
    noises = _loop_noises(loop, precision, scales, prefix)
    drawing = Drawing(loop.generator, loop.layers, True, precision, scales)
    return Graph(
        synthesis_of(encoder),
        EncoderSynthesisStage(drawing, image),
        (sample.codes(loop.latent_avg)[:1], list(noises.values())),
        (None, [None] * len(noises)),
        ("codes", *noises),
        ("reconstruction",),
    )


def _hypernet(hypernet: HyperNetwork, precision: Precision, sample: Samples) -> Graph:
    return Graph(
        "hypernet",
        HypernetStage(hypernet, precision),
        (sample.photo(), sample.reconstruction),
        ({0: BATCH}, {0: BATCH}),
        ("image", "reconstruction"),
        ("offset_codes",),
    )


def _offsets(model: Model, hypernet: HyperNetwork, precision: Precision, sample: Samples) -> Iterator[Graph]:
    offsets = OffsetsStage(hypernet, model.layers, precision)
    args = (sample.offset_codes(2 if model.bilinear else 1, hypernet), torch.tensor(2.0))
    axes = ({0: KEPT_STEPS} if model.bilinear else None, None)
    names = ("offset_codes", "steps")
    yield Graph("offsets", offsets, args, axes, names, tuple(f"offset.{layer.name}" for layer in model.tuned))
    weights = WeightsStage(offsets, model.generator)
    yield Graph("weights", weights, args, axes, names, weight_names(model.layers))


def _further_weights(
    model: Model, hypernet: HyperNetwork, drawn: Drawn, precision: Precision, sample: Samples
) -> Graph:
    offsets = OffsetsStage(hypernet, model.layers, precision, [layer.index for layer in drawn.tuned])
    return Graph(
        drawn.graph("weights"),
        WeightsStage(offsets, drawn.generator),
        (sample.offset_codes(2 if model.bilinear else 1, hypernet), torch.tensor(2.0)),
        ({0: KEPT_STEPS} if model.bilinear else None, None),
        ("offset_codes", "steps"),
        weight_names(drawn.layers, drawn.of),
    )


def _syntheses(model: Model, drawn: Drawn, precision: Precision, sample: Samples) -> Iterator[Graph]:
    constants: Mapping[str, Tensor] = drawn.constants(precision)
    names, tensors = tuple(constants), list(constants.values())
    tuned, computed = len(drawn.tuned), len(weight_names(drawn.layers))
    parts = (tensors[:tuned], tensors[tuned:computed], tensors[computed:])
    codes = sample.codes(model.latent_avg)
    for name, single in (("synthesis", False), ("synthesis_one", True)):
        yield Graph(
            drawn.graph(name),
            SynthesisStage(Drawing(drawn.generator, drawn.layers, single, precision, drawn.scales), model.image),
            (codes[:1] if single else codes, *parts),
            (None if single else {0: BATCH}, *([None] * len(part) for part in parts)),
            ("codes", *names),
            ("image", "reconstruction"),
        )
    if model.styles:
        stage = StyledSynthesisStage(
            Drawing(drawn.generator, drawn.layers, False, precision, drawn.scales), model.image
        )
        yield Graph(
            drawn.graph(STYLED),
            stage,
            (codes, sample.styles(drawn.layers, len(codes)), *parts),
            ({0: BATCH}, {0: BATCH}, *([None] * len(part) for part in parts)),
            ("codes", STYLES, *names),
            ("image", "reconstruction"),
        )


def idinvert_constants(model: IdInvertModel) -> dict[str, Tensor]:
    """What graphs of IDInvert take by name: noises; and the average code, which edits know as every bundle's."""
    noises = zip(noise_names(model.layers), noises_of(model.generator), strict=True)
    return {AVERAGE: model.latent_avg[None], **dict(noises)}


def idinvert_graphs(model: IdInvertModel) -> Iterator[Graph]:
    """The stages of IDInvert but its optimisation, `synthesis` in both its forms."""
    sample, names = Samples(model.image), noise_names(model.layers)
    encoder = FoldedEncoder(model.encoder)
    yield Graph("encoder", encoder, (sample.photo(),), ({0: BATCH},), ("image",), ("codes",))
    stage, noises = StyleGan1Stage(model.generator, model.image), noises_of(model.generator)
    codes = sample.codes(model.latent_avg)
    for name, rows, axes in (("synthesis", codes, {0: BATCH}), ("synthesis_one", codes[:1], None)):
        free = (axes, [None] * len(noises))
        yield Graph(name, stage, (rows, noises), free, ("codes", *names), ("image", "reconstruction"))
