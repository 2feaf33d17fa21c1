"""HyperStyle: one file of a hypernetwork and a generator, and another one of the encoder that its codes come from."""

from dataclasses import dataclass

import torch

from ...errors import CheckpointError
from ...runtime.manifest.checks import MAX_STEPS
from ...runtime.manifest.layers import Layer, layer_table
from ...runtime.manifest.manifest import MethodSpec
from ..checkpoint import Checkpoint
from ..layout import encoder_shape, generator_shape, hypernet_shape, trunk_shape
from ..networks.encoders import Encoder, build_encoder
from ..networks.hypernetwork import KINDS, HypernetShape, HyperNetwork
from ..networks.stylegan2 import Generator, GeneratorShape
from ..options import domain, option, unsupported
from ..tensors import average_code, fill
from .inversion import drawing_size, load_inversion
from .model import DEFAULT_STEPS, NO_CHOICES, Choices, Codes, EncoderLoop, Model, image_spec
from .recognition import ENCODERS, HYPERSTYLE, PAIR, W_ENCODER, method_of

CLASSES = ("SharedWeightsHyperNetResNet", "SharedWeightsHyperNetResNetSeparable")


@dataclass(frozen=True)
class Layout:
    """What the options and shapes of a HyperStyle checkpoint say of it, before any number is read."""

    generator: GeneratorShape
    hypernet: HypernetShape
    layers: tuple[Layer, ...]
    problems: tuple[str, ...]


def read_layout(checkpoint: Checkpoint) -> Layout:
    """Read what shapes the networks of a HyperStyle checkpoint.

    Raises:
        CheckpointError: an option is missing or of an unsupported value.
    """
    kind = option(checkpoint, "encoder_type", str)
    if kind not in CLASSES:
        raise unsupported(checkpoint, "encoder_type", kind, sorted(CLASSES))
    channels = option(checkpoint, "input_nc", int, PAIR)
    if channels != PAIR:
        raise unsupported(checkpoint, "input_nc", channels, f"{PAIR}: photo and reconstruction")
    generator = generator_shape(checkpoint.part("decoder"), drawing_size(checkpoint))
    layers = layer_table(generator.channels)
    tuned = _tuned_layers(checkpoint, len(layers))
    hypernet, problems = hypernet_shape(checkpoint.part("hypernet"), layers, tuned)
    offsets = {block.layer: KINDS[block.kind] for block in hypernet.blocks}
    return Layout(generator, hypernet, layer_table(generator.channels, offsets), tuple(problems))


def networks(layout: Layout) -> tuple[Generator, HyperNetwork]:
    """The networks of a layout, their tensors not filled."""
    with torch.device("meta"):
        return Generator(layout.generator), HyperNetwork(layout.hypernet, layout.layers)


def load_hyperstyle(checkpoint: Checkpoint, encoder: Checkpoint, choices: Choices) -> Model:
    """Build the networks and give them the files' tensors, without copying them.

    Args:
        checkpoint: HyperStyle's file (``hypernet.*``, ``decoder.*``, ``latent_avg``).
        encoder: the W-encoder's file (``encoder.*``; its own ``latent_avg`` and ``decoder.*`` are not used), or a pSp,
            e4e or ReStyle checkpoint: codes then come from its encoder, relative to its own average code.
        choices: the user's.

    Raises:
        CheckpointError: an unsupported option; missing, unexpected, misshapen or non-finite tensors, all named at once;
            or an encoder that does not fit.
    """
    layout = read_layout(checkpoint)
    generator, hypernet = networks(layout)
    fill(checkpoint, {"hypernet": hypernet, "decoder": generator}, layout.problems)
    latent_avg = average_code(checkpoint, layout.generator.styles, layout.generator.width)
    if method_of(encoder) == W_ENCODER:
        check_encoder_steps(encoder, choices.encoder_steps)
        network = w_encoder(encoder, layout.generator)
        fill(encoder, {"encoder": network})
        codes = Codes(W_ENCODER, network, latent_avg)
    else:
        codes = codes_of(encoder, checkpoint, layout.generator, choices.encoder_steps)
    limits = [layout.hypernet.largest_input, codes.network.shape.largest_input]
    return Model(
        method=MethodSpec(HYPERSTYLE, DEFAULT_STEPS, codes.steps),
        domain=domain(checkpoint),
        image=image_spec(checkpoint, "photo", 3, layout.generator.size, choices, limits),
        layers=layout.layers,
        generator=generator,
        latent_avg=latent_avg,
        encoder=codes.network,
        average=codes.average,
        checkpoints=((HYPERSTYLE, checkpoint), (codes.role, encoder)),
        hypernet=hypernet,
        loop=codes.loop,
        provenance=codes.provenance,
    )


def w_encoder(checkpoint: Checkpoint, generator: GeneratorShape) -> Encoder:
    """The network of a W-encoder's file, its tensors not filled."""
    tensors, encoder = checkpoint.part("encoder"), ENCODERS["WEncoder"]
    trunk = trunk_shape(tensors, encoder.trunk, 3)
    shape = encoder_shape(tensors, encoder.head, trunk, generator.styles, generator.width, encoder.progressive)
    with torch.device("meta"):
        return build_encoder(shape)


def codes_of(
    encoder: Checkpoint,
    checkpoint: Checkpoint,
    generator: GeneratorShape,
    steps: int | None,
    usual_steps: int = DEFAULT_STEPS,
) -> Codes:
    """Codes for a method's generator from the encoder of another method, relative to its own average code.

    Args:
        encoder: a pSp, e4e or ReStyle checkpoint.
        checkpoint: the method's.
        generator: the shape of its generator.
        steps: of a ReStyle encoder, None for ``usual_steps``.

    Raises:
        CheckpointError: it does not fit, or takes no steps.
    """
    model = load_inversion(encoder, NO_CHOICES)
    theirs, ours = model.generator.shape, generator
    cars = model.domain == "cars", domain(checkpoint) == "cars"
    fits = (theirs.styles, theirs.width) == (ours.styles, ours.width) and cars[0] == cars[1]
    if not fits or model.image.kind != "photo":
        raise CheckpointError(
            f"The encoder in {encoder.path} does not fit {checkpoint.path}",
            got=f"{theirs.styles} codes of {theirs.width} numbers from a {model.image.kind} of {model.domain}",
            expected=f"{ours.styles} codes of {ours.width} numbers from a photo of {domain(checkpoint)}",
        )
    provenance = {f"encoder_{name}": made for name, made in model.provenance.items()}
    if model.average is not None:
        check_encoder_steps(encoder, steps)
        return Codes("encoder", model.encoder, model.average, None, provenance)
    if steps is not None and steps not in range(1, MAX_STEPS + 1):
        raise CheckpointError("The encoder cannot take so many steps", got=steps, expected=f"1 to {MAX_STEPS}")
    loop = EncoderLoop(model.generator, model.layers, model.latent_avg)
    return Codes("encoder", model.encoder, None, loop, provenance, usual_steps if steps is None else steps)


def check_encoder_steps(encoder: Checkpoint, steps: int | None) -> None:
    """See that no steps are asked of an encoder that does not loop.

    Raises:
        CheckpointError: some are.
    """
    if steps is not None:
        raise CheckpointError(
            f"The encoder in {encoder.path} takes no steps of its own",
            got=f"{steps} encoder steps",
            hint="Leave --encoder-steps out: ReStyle encoders take them.",
        )


def _tuned_layers(checkpoint: Checkpoint, count: int) -> list[int]:
    """Layer indices of ``layers_to_tune``: a comma list, '' for all; past the generator's last they mean nothing."""
    listed = option(checkpoint, "layers_to_tune", str, "")
    if not listed:
        return list(range(count))
    try:
        indices = [int(index) for index in listed.split(",")]
    except ValueError as error:
        raise unsupported(checkpoint, "layers_to_tune", listed, "a comma list of layer indices") from error
    tuned = sorted({index for index in indices if 0 <= index < count})
    if not tuned:
        raise unsupported(checkpoint, "layers_to_tune", listed, f"at least one of 0 to {count - 1}")
    return tuned
