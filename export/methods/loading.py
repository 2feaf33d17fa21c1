"""From a user's files to a model: which loader they need, and what to say where they are not those that it needs."""

from pathlib import Path

from ...errors import CheckpointError
from ..checkpoint import Checkpoint, read_checkpoint
from .hyperstyle import load_hyperstyle
from .inversion import load_inversion
from .model import Choices, Model
from .recognition import HYPERSTYLE, TITLES, W_ENCODER, method_of


def read_checkpoints(checkpoint: Path, encoder: Path | None) -> tuple[Checkpoint, ...]:
    """Read one file or two, and see that together they are a method.

    Raises:
        CheckpointError: a file cannot be read; one is missing, too many, in the other's place, or given twice.
    """
    if encoder is not None and checkpoint.exists() and encoder.exists() and checkpoint.samefile(encoder):
        raise CheckpointError(f"{checkpoint} is given twice", hint="HyperStyle's file and its encoder's are two.")
    files = (read_checkpoint(checkpoint), *(() if encoder is None else (read_checkpoint(encoder),)))
    _check_roles(*files)
    return files


def load_model(files: tuple[Checkpoint, ...], choices: Choices) -> Model:
    """Build the networks of what ``read_checkpoints`` gave.

    Raises:
        CheckpointError: an option, a tensor or a choice does not fit.
    """
    if len(files) == 2:
        return load_hyperstyle(*files, choices)
    if choices.encoder_steps is not None:
        raise CheckpointError(
            f"{files[0].path} takes no encoder steps",
            got=choices.encoder_steps,
            hint="They are for a ReStyle encoder in front of HyperStyle.",
        )
    return load_inversion(*files, choices)


def _check_roles(first: Checkpoint, second: Checkpoint | None = None) -> None:
    method = method_of(first)
    found = f"{first.path} is {TITLES[method]}"
    if method == W_ENCODER:
        hint = f"It belongs to a HyperStyle checkpoint: hyperstyle-deploy export HYPERSTYLE.pt --encoder {first.path}"
        raise CheckpointError(found, expected="the checkpoint of a method", hint=f"{hint} -o BUNDLE")
    if second is None:
        if method == HYPERSTYLE:
            hint = f"Its codes come from a second file: hyperstyle-deploy export {first.path} --encoder ENCODER.pt"
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
