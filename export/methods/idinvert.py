"""IDInvert: a StyleGAN1 generator and an encoder, each in a file that is its state dict and nothing else."""

from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ...runtime.manifest.checks import SIDES
from ...runtime.manifest.layers import stylegan1_layers
from ...runtime.manifest.manifest import ImageSpec, MethodSpec
from ...runtime.methods.idinvert import IDInvert
from ..checkpoint import Checkpoint
from ..layout import Widths
from ..networks.residual_encoder import ResidualEncoder, ResidualShape
from ..networks.stylegan1 import StyleGan1, StyleGan1Shape
from ..tensors import check_tensors, fill
from .model import Choices, IdInvertModel
from .recognition import IDINVERT, IDINVERT_ENCODER

#: More resolutions than a generator of 1024 pixels has are not taken for ones.
_MOST_LEVELS = 9
#: The loader of the authors overwrites what a file may hold of it.
IGNORED = ("truncation.truncation",)


def generator_shape(tensors: Mapping[str, Tensor]) -> StyleGan1Shape:
    """A generator's widths, as most of its tensors say them."""
    widths = Widths(tensors)
    levels = range(min(max(len(widths.indices("synthesis.output")), 1), _MOST_LEVELS))
    channels = []
    for level in levels:
        layers = [f"synthesis.layer{2 * level}", f"synthesis.layer{2 * level + 1}"]
        places = [(f"{layer}.epilogue.bias", 0) for layer in layers]
        places += [(f"synthesis.output{level}.conv.weight", 1), (f"{layers[1]}.conv.weight", 0)]
        channels.append(widths.width(places, min(16384 >> level, 512)))
    styles = [f"synthesis.layer{index}.epilogue.style_mod.dense.fc.weight" for index in range(2 * len(channels))]
    mapping = max(len(widths.indices("mapping.dense")), 1)
    hidden = [(f"mapping.dense{index}.fc.weight", int(index > 0)) for index in range(1, mapping)]
    return StyleGan1Shape(
        channels=tuple(channels),
        fused=tuple(widths.has(f"synthesis.layer{2 * level}.weight") for level in levels[1:]),
        width=widths.width([*((style, 1) for style in styles), ("truncation.w_avg", 0)], 512),
        mapping=mapping,
        latent=widths.width([("mapping.dense0.fc.weight", 1)], 512),
        hidden=widths.width([*hidden, ("mapping.dense0.fc.weight", 0)], 512),
    )


def encoder_shape(tensors: Mapping[str, Tensor], rows: int | None = None, width: int | None = None) -> ResidualShape:
    """An encoder's widths; ``rows`` and ``width`` are those of the generator, one row where none is at hand."""
    widths = Widths(tensors)
    blocks = sorted(widths.indices("block"))
    last = min(blocks[-1] if blocks else 0, 32)
    channels = [widths.width([("block0.conv.weight", 0), ("block0.bn.bn.weight", 0)], 64)]
    hidden = []
    for index in range(1, last):
        places = [(f"block{index}.{name}", 0) for name in ("conv2.weight", "wscale2.bias", "bn2.bn.weight")]
        channels.append(widths.width(places, channels[-1]))
        inner = [(f"block{index}.{name}", 0) for name in ("conv1.weight", "wscale1.bias", "bn1.bn.weight")]
        hidden.append(widths.width(inner, min(channels[-2:])))
    head = tensors.get(f"block{last}.fc.weight")
    features, numbers = (head.shape[1], head.shape[0]) if head is not None and head.dim() == 2 else (16384, 7168)
    side = max(isqrt(features // channels[-1]), 1)
    return ResidualShape(tuple(channels), tuple(hidden), side, rows or 1, width or numbers)


def empty_generator(shape: StyleGan1Shape) -> StyleGan1:
    """The network of a shape, its tensors not filled."""
    with torch.device("meta"):
        return StyleGan1(shape)


def empty_encoder(shape: ResidualShape) -> ResidualEncoder:
    """The network of a shape, its tensors not filled."""
    with torch.device("meta"):
        return ResidualEncoder(shape)


def parts(network: nn.Module) -> dict[str, nn.Module]:
    """A network's parts by the beginnings of their tensors' names: its file has no prefix before them."""
    return dict(network.named_children())


def check_network(checkpoint: Checkpoint, network: nn.Module, finite: bool = True) -> None:
    """Compare a file with the network that it should hold.

    Raises:
        CheckpointError: naming every tensor that does not fit.
    """
    known = (*parts(network), *(name.partition(".")[0] for name in IGNORED))
    strangers = [f"unexpected {name}" for name in checkpoint.state if name.partition(".")[0] not in known]
    check_tensors(checkpoint, parts(network), strangers, IGNORED, finite)


def load_idinvert(generator_file: Checkpoint, encoder_file: Checkpoint, choices: Choices) -> IdInvertModel:
    """Build the networks of IDInvert's two files and give them their tensors, without copying them.

    Raises:
        CheckpointError: missing, unexpected, misshapen or non-finite tensors, all of a file's named at once; files that
            do not belong together; a generator that stops early; or a choice that does not fit.
    """
    shape = generator_shape(generator_file.state)
    generator = empty_generator(shape)
    encoder = empty_encoder(encoder_shape(encoder_file.state, shape.styles, shape.width))
    check_network(generator_file, generator)
    _check_pair(encoder_file, shape)
    check_network(encoder_file, encoder)
    fill(generator_file, parts(generator), ignored=IGNORED)
    fill(encoder_file, parts(encoder))
    if float(generator.synthesis.lod) != 0:
        raise CheckpointError(
            f"{generator_file.path} is of a generator in training, which stops at a lower resolution",
            got=f"synthesis.lod {float(generator.synthesis.lod):g}",
            expected="0",
        )
    return IdInvertModel(
        method=MethodSpec(IDINVERT, IDInvert.usual_steps, 0),
        domain="unknown",
        image=image_of(generator_file, shape, encoder.shape, choices),
        layers=stylegan1_layers(shape.channels),
        generator=generator,
        latent_avg=generator.truncation.w_avg.expand(shape.styles, -1).contiguous(),
        encoder=encoder,
        checkpoints=((IDINVERT, generator_file), (IDINVERT_ENCODER, encoder_file)),
    )


def _check_pair(encoder_file: Checkpoint, shape: StyleGan1Shape) -> None:
    """See that the encoder gives as many numbers as the generator takes."""
    numbers = encoder_shape(encoder_file.state).width
    if numbers != shape.styles * shape.width:
        raise CheckpointError(
            f"{encoder_file.path} is the encoder of another generator",
            got=f"codes of {numbers} numbers",
            expected=f"{shape.styles} styles of {shape.width}, {shape.styles * shape.width} numbers",
        )


def image_of(checkpoint: Checkpoint, shape: StyleGan1Shape, encoder: ResidualShape, choices: Choices) -> ImageSpec:
    """What goes in and comes out: pictures of one size, since the encoder looks at what the generator draws.

    Raises:
        CheckpointError: encoder and generator are of two sizes, or another one was chosen.
    """
    if encoder.input != shape.size or shape.size < SIDES.start:
        raise CheckpointError(
            f"{checkpoint.path} and its encoder are of two sizes, or of one that is too small",
            got=f"drawings of {shape.size}, an encoder of {encoder.input}",
            expected=f"one size, {SIDES.start} or more",
        )
    if choices.input_size not in (None, shape.size):
        raise CheckpointError(
            f"{checkpoint.path} cannot be exported for this input size", got=choices.input_size, expected=shape.size
        )
    return ImageSpec("photo", 3, shape.size, shape.size, (0, shape.size))
