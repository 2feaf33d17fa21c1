"""What every method's loader gives: facts and networks, whichever there are; graphs are made of these alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from ...errors import CheckpointError
from ...runtime.manifest.checks import SIDES
from ...runtime.manifest.layers import Layer
from ...runtime.manifest.manifest import ImageSpec, MethodSpec
from ..checkpoint import Checkpoint
from ..networks.encoders import Encoder
from ..networks.hypernetwork import HyperNetwork
from ..networks.residual_encoder import ResidualEncoder
from ..networks.stylegan1 import StyleGan1
from ..networks.stylegan2 import Generator
from ..options import option, unsupported

#: The side of what published networks look at.
USUAL_INPUT = 256
#: Steps of a refinement loop, and of a ReStyle encoder that begins one, unless told otherwise.
DEFAULT_STEPS = 5


@dataclass(frozen=True)
class FineTuned:
    """Further generators to export: fine-tuned ones by name, and where their codes come from.

    ``encoder`` is an e4e or ReStyle checkpoint, None for the codes of the bundle's own method; ``encoder_steps`` are
    those of a ReStyle encoder. They take HyperStyle's offsets of 3x3 convolutions from ``offsets_from`` pixels on.
    """

    generators: Mapping[str, Path] = field(default_factory=dict)
    encoder: Path | None = None
    encoder_steps: int | None = None
    offsets_from: int = 128


@dataclass(frozen=True)
class Choices:
    """What a user may choose: the input's side, the steps of an encoder that loops, and further generators.

    With ``styles`` there is a further graph, which also takes what is to be added to styles.
    """

    input_size: int | None = None
    encoder_steps: int | None = None
    fine_tuned: FineTuned = FineTuned()
    styles: bool = False


#: Everything as the checkpoints say.
NO_CHOICES = Choices()


@dataclass(frozen=True)
class EncoderLoop:
    """What a ReStyle encoder in front of HyperStyle draws with: its own generator and average code [styles, width]."""

    generator: Generator
    layers: tuple[Layer, ...]
    latent_avg: Tensor


@dataclass(frozen=True, kw_only=True)
class AnyModel:
    """A loaded method, in evaluation mode, float32 on the CPU. ``latent_avg`` is [styles, width]."""

    family: ClassVar[str]
    method: MethodSpec
    domain: str
    image: ImageSpec
    layers: tuple[Layer, ...]
    latent_avg: Tensor
    checkpoints: tuple[tuple[str, Checkpoint], ...]
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class IdInvertModel(AnyModel):
    """IDInvert: StyleGAN1, and an encoder whose result is the codes."""

    family = "stylegan1"
    generator: StyleGan1
    encoder: ResidualEncoder


@dataclass(frozen=True)
class Codes:
    """Where codes come from: an encoder as in ``Model``, its file's role in a bundle, its ``steps`` if it loops."""

    role: str
    network: Encoder
    average: Tensor | None
    loop: EncoderLoop | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    steps: int = 0


@dataclass(frozen=True)
class FurtherGenerator:
    """A fine-tuned generator; ``layers`` have offsets where it takes those of the hypernetwork."""

    name: str
    generator: Generator
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class Model(AnyModel):
    """A method on StyleGAN2.

    ``encoder`` gives codes relative to ``average`` [styles, width]; where that is None they are added to the codes so
    far, and the encoder looks at the reconstruction too. ``rows`` says how many of its codes the generator takes.
    ``loop`` is there if such an encoder begins the refinement of a ``hypernet``. ``further`` generators draw in other
    domains, from ``further_codes`` or, if that is None, from the method's own. ``styles`` asks for graphs of them.
    """

    family = "stylegan2"
    generator: Generator
    encoder: Encoder
    average: Tensor | None
    hypernet: HyperNetwork | None = None
    loop: EncoderLoop | None = None
    further: tuple[FurtherGenerator, ...] = ()
    further_codes: Codes | None = None
    further_checkpoints: tuple[tuple[str, Checkpoint], ...] = ()
    styles: bool = False

    @property
    def tuned(self) -> tuple[Layer, ...]:
        """The layers with offsets, in the order of the offset codes' rows."""
        return tuple(layer for layer in self.layers if layer.tuned)

    @property
    def bilinear(self) -> bool:
        """Whether offsets are not affine in the codes, so that those of every step are kept."""
        return self.hypernet is not None and any(block.kind == "separable" for block in self.hypernet.shape.blocks)


def image_spec(
    checkpoint: Checkpoint, kind: str, channels: int, size: int, choices: Choices, largest: list[int | None]
) -> ImageSpec:
    """Sizes of what goes in and comes out.

    Cars are 3/4 as high as they are wide: of the square drawing the middle three quarters of the rows are the image.
    The input may be larger than the drawing, as it is where an encoder for 256 pixels drives a generator of 128.

    Args:
        checkpoint: the method's first file; its option ``input_size`` counts where the user chose none.
        kind: of the input.
        channels: of the input.
        size: of the drawing.
        choices: the user's.
        largest: of each network, the input that it was made for and takes at most, None for any.

    Raises:
        CheckpointError: the size is not one that the networks take.
    """
    limits = [limit for limit in largest if limit is not None]
    told = option(checkpoint, "input_size", int, min(limits, default=min(USUAL_INPUT, size)))
    side = told if choices.input_size is None else choices.input_size
    most = min(limits, default=SIDES.stop - 1)
    cars = "cars" in option(checkpoint, "dataset_type", str, "")
    height = side * 3 // 4 if cars else side
    if not SIDES.start <= height <= side <= most or (cars and side % 8):
        expected = f"{SIDES.start} to {most}" + (", a multiple of 8 from 48 on" if cars else "")
        if choices.input_size is None:
            raise unsupported(checkpoint, "input_size", side, expected)
        raise CheckpointError(f"{checkpoint.path} cannot be exported for this input size", got=side, expected=expected)
    return ImageSpec(kind, channels, height, side, (size // 8, size * 7 // 8) if cars else (0, size))
