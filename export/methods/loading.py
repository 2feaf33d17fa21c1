"""From a user's files to a model: which loader they need, and what to say where they are not those that it needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import CheckpointError
from ..checkpoint import Checkpoint, read_checkpoint
from .fine_tuned import with_further
from .hyperstyle import load_hyperstyle
from .idinvert import load_idinvert
from .inversion import load_inversion
from .model import NO_CHOICES, AnyModel, Choices, Model
from .recognition import (
    HYPERSTYLE,
    IDINVERT,
    IDINVERT_ENCODER,
    IDINVERT_VGG,
    LPIPS_HEADS,
    LPIPS_TRUNK,
    TITLES,
    W_ENCODER,
    method_of,
)

#: What a file that is a part of something belongs to, and the command that takes it.
_COMMAND = "hyperstyle-deploy export"
PARTS = {
    W_ENCODER: ("a HyperStyle checkpoint", f"{_COMMAND} HYPERSTYLE.pt --w-encoder {{}} -o BUNDLE"),
    IDINVERT_ENCODER: ("IDInvert's generator", f"{_COMMAND} GENERATOR.pth --encoder {{}} -o BUNDLE"),
    IDINVERT_VGG: ("IDInvert's loss", f"{_COMMAND} GENERATOR.pth --encoder ENCODER.pth --vgg16 {{}} -o BUNDLE"),
    LPIPS_TRUNK: ("a loss with LPIPS", f"{_COMMAND} CHECKPOINT --gradients pti --lpips {{}} HEADS -o BUNDLE"),
    LPIPS_HEADS: ("a loss with LPIPS", f"{_COMMAND} CHECKPOINT --gradients pti --lpips TRUNK {{}} -o BUNDLE"),
}
#: Methods of two files: what the second one may be, in words, and the option that takes it.
PAIRS = {
    HYPERSTYLE: (
        (W_ENCODER, "psp", "e4e", "restyle-psp", "restyle-e4e"),
        "a W-encoder, pSp, e4e or ReStyle",
        "--w-encoder W_ENCODER.pt",
    ),
    IDINVERT: ((IDINVERT_ENCODER,), TITLES[IDINVERT_ENCODER], "--encoder ENCODER.pth"),
}


def read_checkpoints(paths: Sequence[Path]) -> tuple[Checkpoint, ...]:
    """Read one file or two, and see that together they are a method.

    Raises:
        CheckpointError: a file cannot be read; one is missing, too many, in the other's place, or given twice.
    """
    existing = [path for path in paths if path.exists()]
    if any(path.samefile(existing[0]) for path in existing[1:]):
        raise CheckpointError(f"{paths[0]} is given twice", hint="A checkpoint and its encoder's file are two.")
    files = tuple(read_checkpoint(path) for path in paths)
    _check_roles(*files)
    return files


def load_model(files: tuple[Checkpoint, ...], choices: Choices) -> AnyModel:
    """Build the networks of what ``read_checkpoints`` gave.

    Raises:
        CheckpointError: an option, a tensor or a choice does not fit.
    """
    model = _load_method(files, choices)
    if isinstance(model, Model):
        return replace(with_further(model, choices.fine_tuned), styles=choices.styles)
    if choices.fine_tuned is not NO_CHOICES.fine_tuned or choices.styles:
        raise CheckpointError(
            "Further generators and graphs that take styles are StyleGAN2's",
            got=model.family,
            hint="Leave --generator and --styles out.",
        )
    return model


def _load_method(files: tuple[Checkpoint, ...], choices: Choices) -> AnyModel:
    first, *others = files
    idinvert = method_of(first) == IDINVERT
    if others and not idinvert:
        return load_hyperstyle(first, others[0], choices)
    if choices.encoder_steps is not None:
        raise CheckpointError(
            f"{first.path} takes no encoder steps",
            got=choices.encoder_steps,
            hint="They are for a ReStyle encoder in front of HyperStyle.",
        )
    return load_idinvert(first, others[0], choices) if idinvert else load_inversion(first, choices)


def _check_roles(first: Checkpoint, second: Checkpoint | None = None) -> None:
    method = method_of(first)
    found = f"{first.path} is {TITLES[method]}"
    if method in PARTS:
        whole, command = PARTS[method]
        hint = f"It belongs to {whole}: {command.format(first.path)}"
        raise CheckpointError(found, expected="the checkpoint of a method", hint=hint)
    if method not in PAIRS:
        if second is not None:
            hint = f"It has its own encoder: {_COMMAND} {first.path} -o BUNDLE"
            raise CheckpointError(found, expected=f"{TITLES[HYPERSTYLE]} in front of --encoder", hint=hint)
        return
    encoders, words, option = PAIRS[method]
    if second is None:
        hint = f"Its codes come from a second file: {_COMMAND} {first.path} {option} -o BUNDLE"
        raise CheckpointError(found, hint=hint)
    if (given := method_of(second)) not in encoders:
        raise CheckpointError(
            f"{second.path} is {TITLES[given]}", expected=f"an encoder's file behind --encoder: {words}"
        )
