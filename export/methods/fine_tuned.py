"""Further generators of a bundle: fine-tuned from the one that its method draws with, for other domains."""

from dataclasses import replace
from pathlib import Path

import torch

from ...errors import CheckpointError
from ...runtime.manifest.checks import is_generator_name
from ...runtime.manifest.layers import Layer
from ..checkpoint import GENERATOR, Checkpoint, read_checkpoint, read_generator
from ..layout import generator_shape
from ..networks.stylegan2 import Generator
from ..tensors import fill
from .hyperstyle import codes_of
from .model import Codes, FineTuned, FurtherGenerator, Model
from .recognition import HYPERSTYLE, TITLES, W_ENCODER, method_of

#: Steps of a ReStyle encoder in front of a further generator unless told otherwise, as HyperStyle's authors take them.
ENCODER_STEPS = 2


def with_further(model: Model, asked: FineTuned) -> Model:
    """A model with further generators.

    Raises:
        CheckpointError: a file cannot be read, or holds no generator of the widths of the model's; a name that none can
            have; or an encoder that does not fit.
    """
    if not asked.generators:
        if asked.encoder is not None:
            raise CheckpointError(f"{asked.encoder} is for further generators", hint="Name one: --generator NAME=FILE")
        return model
    read = {name: _read(name, path) for name, path in asked.generators.items()}
    further = tuple(_further(model, name, file, asked.offsets_from) for name, file in read.items())
    codes, encoder = (None, None) if asked.encoder is None else _codes(model, asked.encoder, asked.encoder_steps)
    files = [(f"generator {name}", file) for name, file in read.items()]
    if encoder is not None:
        files.append(("generators' encoder", encoder))
    told = {} if codes is None else {f"generators_{key}": made for key, made in codes.provenance.items()}
    return replace(
        model,
        further=further,
        further_codes=codes,
        further_checkpoints=tuple(files),
        provenance={**model.provenance, **told},
    )


def _read(name: str, path: Path) -> Checkpoint:
    if not is_generator_name(name):
        raise CheckpointError(
            "No generator can have this name", got=repr(name)[:80], expected="up to 32 letters, digits, - and _"
        )
    return read_generator(path)


def _further(model: Model, name: str, file: Checkpoint, offsets_from: int) -> FurtherGenerator:
    """The generator in a file, and which of the hypernetwork's offsets it takes."""
    own, found = model.generator.shape, generator_shape(file.part(GENERATOR), None)
    if (found.channels, found.width) != (own.channels, own.width):
        raise CheckpointError(
            f"The generator in {file.path} is not fine-tuned from the bundle's",
            got=f"{found.size} pixels from codes of {found.width}, channels {found.channels}",
            expected=f"{own.size} pixels from codes of {own.width}, channels {own.channels}",
        )
    with torch.device("meta"):
        generator = Generator(found)
    fill(file, {GENERATOR: generator})
    layers = tuple(layer if _keeps(layer, offsets_from) else replace(layer, offset="none") for layer in model.layers)
    return FurtherGenerator(name, generator, layers)


def _keeps(layer: Layer, offsets_from: int) -> bool:
    return layer.demodulated and layer.resolution >= offsets_from


def _codes(model: Model, path: Path, steps: int | None) -> tuple[Codes, Checkpoint]:
    """Where the generators' codes come from, and the file of it."""
    method, checkpoint = model.checkpoints[0]
    if method != HYPERSTYLE:
        raise CheckpointError(
            f"Further generators draw the codes of {checkpoint.path}",
            got=f"an encoder in {path}",
            expected="none: that is for HyperStyle, whose own codes are for its own generator",
        )
    encoder = read_checkpoint(path)
    if (kind := method_of(encoder)) in (HYPERSTYLE, W_ENCODER):
        raise CheckpointError(f"{path} is {TITLES[kind]}", expected="a pSp, e4e or ReStyle checkpoint")
    codes = codes_of(encoder, checkpoint, model.generator.shape, steps, ENCODER_STEPS)
    most, side = codes.network.shape.largest_input, model.image.input_width
    if most is not None and most < side:
        raise CheckpointError(f"The encoder in {path} looks at smaller pictures", got=f"at most {most}", expected=side)
    return codes, encoder
