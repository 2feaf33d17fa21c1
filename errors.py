"""The errors a user can cause: each says what failed, what was got and expected, and what to do next."""

from collections.abc import Sequence


class HyperStyleDeployError(Exception):
    """Base of every error that the package raises on purpose; the command line prints it without a traceback.

    Args:
        what: what failed, as a sentence without its full stop.
        got: what was found, if that helps.
        expected: what was wanted instead.
        hint: what to do next.
        lines: what was found in detail, each on a line of its own; in all else line ends are escaped.
    """

    def __init__(
        self,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        hint: str | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        parts = [f"{_one_line(what)}."]
        if got is not None:
            parts.append("\n  ".join([f"Got: {_one_line(got)}{':' if lines else ''}", *map(_one_line, lines)]) + ".")
        if expected is not None:
            parts.append(f"Expected: {_one_line(expected)}.")
        if hint:
            parts.append(_one_line(hint))
        super().__init__(" ".join(parts))


def printable(text: str) -> str:
    """Escape what a hostile name could do to a terminal, and what no terminal can encode."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _one_line(text: object) -> str:
    return printable(str(text)).replace("\n", "\\n")


class CheckpointError(HyperStyleDeployError):
    """A checkpoint file that cannot be read, or that does not hold what its method needs."""


class ExportError(HyperStyleDeployError):
    """A graph that could not be written, or that disagrees with the network it was made from."""


class BundleError(HyperStyleDeployError):
    """A bundle that is incomplete, damaged, unsafe or of another schema version."""


class ImageError(HyperStyleDeployError):
    """A photo that cannot be read, is too large, or is of a kind that is not supported."""


class AlignmentError(HyperStyleDeployError):
    """A photo without a face, landmarks that are no face's, or an alignment that belongs to another photo."""


class ArrayError(HyperStyleDeployError):
    """An array of the wrong type, shape or range, or with NaN or Inf in it."""


class InversionError(HyperStyleDeployError):
    """An inversion file that cannot be read, or that belongs to another model."""


class DirectionError(HyperStyleDeployError):
    """A direction that cannot be read or is unknown, that belongs to another model, or a strength out of range."""


class BackendError(HyperStyleDeployError):
    """A backend that is unknown, not installed, or failed to load or run; there is never a fallback to another."""


class EngineError(BackendError):
    """An engine that is missing, foreign or damaged, or was built for another GPU, version, precision or shape."""


class OptimisationError(HyperStyleDeployError):
    """An optimisation whose loss or gradient is not finite at its very start: there is no result to keep."""


class CalibrationError(HyperStyleDeployError):
    """A bundle or photos that cannot be calibrated, or an option that does not fit the format."""


class BuildError(HyperStyleDeployError):
    """An engine that could not be built: a missing library, an option of another target, or what the builder said."""


class ReportError(HyperStyleDeployError):
    """A profile or a table of results that cannot be read, or two profiles that cannot be compared."""


class BatchError(HyperStyleDeployError):
    """A batch that cannot go on: its ledger cannot be used or has other settings, or its workers do not start."""


class ServiceError(HyperStyleDeployError):
    """A service that cannot start, or that does not take a request: it is busy, closing, or the request is none."""


class OutputError(HyperStyleDeployError):
    """A file or folder that could not be written: it exists, is read-only, or the disk is full."""


class KernelError(HyperStyleDeployError):
    """The CUDA kernel: not built or not loadable, a layer table that it refuses, or an error that CUDA reports."""
