"""pSp, e4e and ReStyle: one file of an encoder and a generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...runtime.manifest.checks import KINDS
from ...runtime.manifest.layers import Layer, layer_table
from ...runtime.manifest.manifest import ImageSpec, MethodSpec
from ..checkpoint import Checkpoint
from ..layout import Widths, encoder_shape, generator_shape, trunk_shape
from ..networks.encoders import Encoder, EncoderShape, build_encoder
from ..networks.stylegan2 import Generator, GeneratorShape
from ..options import domain, option, unsupported
from ..tensors import average_code, fill, mapped_average
from .model import DEFAULT_STEPS, Choices, Model, image_spec
from .recognition import PAIR, encoder_class, method_of

SIZES = (32, 64, 128, 256, 512, 1024)
#: As many channels as label maps of a bundle can have.
MOST_LABELS = KINDS["labels"].stop - 1
#: The methods whose encoder looks at the reconstruction, step by step.
ITERATIVE = ("restyle-psp", "restyle-e4e")


@dataclass(frozen=True)
class Layout:
    """What the options and shapes of a file say of it, before any number is read.

    ``surplus`` counts rows of codes that the encoder gives and the generator does not take.
    """

    method: str
    generator: GeneratorShape
    encoder: EncoderShape
    kind: str
    surplus: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The generator's convolutions."""
        return layer_table(self.generator.channels)


def read_layout(checkpoint: Checkpoint) -> Layout:
    """Read what shapes the networks of a pSp, e4e or ReStyle checkpoint.

    Raises:
        CheckpointError: it is not one, or an option is of an unsupported value.
    """
    method, encoder = method_of(checkpoint), encoder_class(checkpoint)
    generator = generator_shape(checkpoint.part("decoder"), drawing_size(checkpoint))
    tensors = checkpoint.part("encoder")
    trunk = trunk_shape(tensors, encoder.trunk, _input_channels(checkpoint, method))
    shape = encoder_shape(tensors, encoder.head, trunk, generator.styles, generator.width, encoder.progressive)
    # Car encoders of 1024 pixels' 18 rows drive generators of 512: the authors drop the last two.
    rows = len(Widths(tensors).indices("styles."))
    surplus = max(0, rows - generator.styles) if domain(checkpoint) == "cars" else 0
    return Layout(method, generator, shape, _kind(checkpoint, method, trunk.input_channels), surplus)


def drawing_size(checkpoint: Checkpoint) -> int | None:
    """The size of what the generator draws, as the options say it; old pSp files do not.

    Raises:
        CheckpointError: it is not one that can be exported.
    """
    for name in ("output_size", "stylegan_size"):
        if name in checkpoint.opts:
            size: int = option(checkpoint, name, int)
            if size not in SIZES:
                raise unsupported(checkpoint, name, size, SIZES)
            return size
    return None


def load_inversion(checkpoint: Checkpoint, choices: Choices) -> Model:
    """Build the networks of a pSp, e4e or ReStyle checkpoint and give them the file's tensors, without copying them.

    Raises:
        CheckpointError: an unsupported option; missing, unexpected, misshapen or non-finite tensors, all named at once.
    """
    layout = read_layout(checkpoint)
    generator, encoder = networks(layout)
    fill(checkpoint, {"encoder": encoder, "decoder": generator}, ignored=ignored(layout))
    iterative = layout.method in ITERATIVE
    latent_avg, provenance = _average(checkpoint, layout, generator)
    relative = iterative or option(checkpoint, "start_from_latent_avg", bool, True)
    return Model(
        method=MethodSpec(layout.method, DEFAULT_STEPS if iterative else 0, 0),
        domain=domain(checkpoint),
        image=image_of(checkpoint, layout, choices),
        layers=layout.layers,
        generator=generator,
        latent_avg=latent_avg,
        encoder=encoder,
        average=None if iterative else latent_avg if relative else torch.zeros_like(latent_avg),
        checkpoints=((layout.method, checkpoint),),
        provenance=provenance,
    )


def networks(layout: Layout) -> tuple[Generator, Encoder]:
    """The networks of a layout, their tensors not filled."""
    with torch.device("meta"):
        return Generator(layout.generator), build_encoder(layout.encoder)


def image_of(checkpoint: Checkpoint, layout: Layout, choices: Choices) -> ImageSpec:
    """What goes in and comes out.

    Raises:
        CheckpointError: the size is not one that the networks take.
    """
    channels = 3 if layout.method in ITERATIVE else layout.encoder.trunk.input_channels
    return image_spec(checkpoint, layout.kind, channels, layout.generator.size, choices, [layout.encoder.largest_input])


def ignored(layout: Layout) -> tuple[str, ...]:
    """Beginnings of names that the networks of a layout have no place for."""
    rows = layout.encoder.rows
    return tuple(f"encoder.styles.{row}." for row in range(rows, rows + layout.surplus))


def _average(checkpoint: Checkpoint, layout: Layout, generator: Generator) -> tuple[Tensor, dict[str, str]]:
    """The average code, and how it was made where the checkpoint has none."""
    if checkpoint.latent_avg is None:
        latent_avg, made = mapped_average(generator)
        return latent_avg, {"latent_avg": made}
    return average_code(checkpoint, layout.generator.styles, layout.generator.width, layout.surplus), {}


def _input_channels(checkpoint: Checkpoint, method: str) -> int | None:
    """Channels of what an encoder takes; None where the options of a pSp checkpoint do not say."""
    if method != "psp":
        return PAIR if method in ITERATIVE else 3
    if "label_nc" not in checkpoint.opts:
        return None
    labels: int = option(checkpoint, "label_nc", int)
    if labels not in range(MOST_LABELS + 1):
        raise unsupported(checkpoint, "label_nc", labels, f"0 to {MOST_LABELS}")
    return labels or 3


def _kind(checkpoint: Checkpoint, method: str, channels: int) -> str:
    """What the encoder looks at: a photo, a sketch, or label maps with a channel for each label."""
    if method != "psp":
        return "photo"
    labels = option(checkpoint, "label_nc", int, 0 if channels == 3 else channels)
    return {0: "photo", 1: "sketch"}.get(labels, "labels")
