"""From a user's files to a model: which loader they need, and what to say where they are not those that it needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import CheckpointError
from ..checkpoint import Checkpoint, read_checkpoint
from .fine_tuned import with_further
from .hyperstyle import load_hyperstyle
from .inversion import load_inversion
from .model import Choices, Model
from .recognition import HYPERSTYLE, TITLES, W_ENCODER, method_of


def read_checkpoints(paths: Sequence[Path]) -> tuple[Checkpoint, ...]:
    """Read one file or two, and see that together they are a method.

    Raises:
        CheckpointError: a file cannot be read; one is missing, too many, in the other's place, or given twice.
    """
    existing = [path for path in paths if path.exists()]
    if any(path.samefile(existing[0]) for path in existing[1:]):
        raise CheckpointError(f"{paths[0]} is given twice", hint="HyperStyle's file and its encoder's are two.")
    files = tuple(read_checkpoint(path) for path in paths)
    _check_roles(*files)
    return files


def load_model(files: tuple[Checkpoint, ...], choices: Choices) -> Model:
    """Build the networks of what ``read_checkpoints`` gave.

    Raises:
        CheckpointError: an option, a tensor or a choice does not fit.
    """
    return replace(with_further(_load_method(files, choices), choices.fine_tuned), styles=choices.styles)


def _load_method(files: tuple[Checkpoint, ...], choices: Choices) -> Model:
    first, *others = files
    if others:
        return load_hyperstyle(first, others[0], choices)
    if choices.encoder_steps is not None:
        raise CheckpointError(
            f"{first.path} takes no encoder steps",
            got=choices.encoder_steps,
            hint="They are for a ReStyle encoder in front of HyperStyle.",
        )
    return load_inversion(first, choices)


def _check_roles(first: Checkpoint, second: Checkpoint | None = None) -> None:
    method = method_of(first)
    found = f"{first.path} is {TITLES[method]}"
    if method == W_ENCODER:
        hint = f"It belongs to a HyperStyle checkpoint: hyperstyle-deploy export HYPERSTYLE.pt --w-encoder {first.path}"
        raise CheckpointError(found, expected="the checkpoint of a method", hint=f"{hint} -o BUNDLE")
    if second is None:
        if method == HYPERSTYLE:
            hint = f"Its codes come from a second file: hyperstyle-deploy export {first.path} --w-encoder W_ENCODER.pt"
            raise CheckpointError(found, hint=f"{hint} -o BUNDLE")
        return
    if method != HYPERSTYLE:
        hint = f"It has its own encoder: hyperstyle-deploy export {first.path} -o BUNDLE"
        raise CheckpointError(found, expected=f"{TITLES[HYPERSTYLE]} in front of --encoder", hint=hint)
    if method_of(second) == HYPERSTYLE:
        raise CheckpointError(
            f"{second.path} is {TITLES[HYPERSTYLE]}",
            expected="an encoder's file behind --encoder: a W-encoder, pSp, e4e or ReStyle",
        )
