"""The training options that a checkpoint carries: read one by one, with their types checked."""

from typing import Any

from ..errors import CheckpointError
from .checkpoint import Checkpoint

# A word in the data's name -> the domain.
_DOMAINS = (("cars", "cars"), ("wild", "wild"), ("ffhq", "faces"), ("celeb", "faces"))
_SUFFIXES = ("_hypernet", "_encode")


def option(checkpoint: Checkpoint, name: str, kind: type, default: object = None) -> Any:
    """The option ``name``, of the type ``kind``.

    Raises:
        CheckpointError: it is missing and has no default, or is of another type.
    """
    value = checkpoint.opts.get(name, default)
    if value is None:
        options = sorted(map(str, checkpoint.opts))
        raise CheckpointError(f"{checkpoint.path} lacks the option {name}", got=f"options {options[:40]}")
    if type(value) is not kind:  # bool is an int to Python; a tensor or a list may not even be comparable
        raise unsupported(checkpoint, name, f"a {type(value).__name__}", f"a value of type {kind.__name__}")
    return value


def unsupported(checkpoint: Checkpoint, name: str, got: object, expected: object) -> CheckpointError:
    """The error of an option's value."""
    return CheckpointError(
        f"{checkpoint.path}: the option {name} is not supported", got=str(got)[:80], expected=expected
    )


def domain(checkpoint: Checkpoint) -> str:
    """What the data that it was trained on show, "unknown" where they have no name."""
    data = option(checkpoint, "dataset_type", str, "")
    for word, name in _DOMAINS:
        if word in data:
            return name
    for suffix in _SUFFIXES:
        data = data.removesuffix(suffix)
    return data or "unknown"
