"""What commands share: options that load a bundle, errors without a traceback, exit codes."""

import signal
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from ..errors import ArrayError, HyperStyleDeployError
from ..install_hint import extra_for, install_command
from ..runtime.manifest.checks import MAX_STEPS
from .parameters import Real

EXIT_FAILED, EXIT_ERROR = 1, 2

FILE = click.Path(path_type=Path)
BACKEND_OPTION = click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="onnxruntime or openvino on the CPU, auto: the faster of these; "
    "tensorrt, tensorrt-rtx or onnxruntime-cuda on a GPU.",
)
LOADING_OPTIONS = (
    click.option("--threads", type=click.IntRange(1), help="CPU threads a run may use."),
    click.option(
        "--precision-hint", type=click.Choice(["f32", "bf16"]), help="What OpenVINO computes in; f32 unless said."
    ),
    click.option("--device", type=click.IntRange(0), help="Number of the GPU; the first unless said."),
    click.option("--trust-engines", is_flag=True, help="Load engines that were not built here: they are programs."),
)
OPTIMISATION_OPTIONS = (
    click.option("--method", metavar="NAME", help="Optimise in place of the bundle's own method: projection or pti."),
    click.option("--seed", type=click.IntRange(0), help="Seed of an optimisation; 0 unless said."),
    click.option("--rate", type=Real(), help="Learning rate of an optimisation; the method's own unless said."),
    click.option("--space", type=click.Choice(["w", "w+"]), help="Of a projection: w, or w+ (unless said)."),
    click.option(
        "--loss", multiple=True, metavar="TERM=WEIGHT", help="Weight of a term of the loss, such as mse=1; repeatable."
    ),
    click.option("--locality", is_flag=True, default=None, help="Tune with PTI's locality regulariser."),
    click.option("--until-lpips", type=Real(), help="Stop a photo whose LPIPS has come down to this."),
)
GENERATOR_OPTION = click.option(
    "--generator", metavar="NAME", help="Draw with a further generator of the bundle, such as toonify."
)
#: Of commands that take inversions.
METHOD_OPTION = click.option(
    "--method", metavar="NAME", help="The optimisation that the inversions are of: projection or pti."
)
STEPS_OPTION = click.option(
    "--steps", type=click.IntRange(0, MAX_STEPS), help="Refinement steps; the bundle's default unless said."
)
UNTIL_GAIN_OPTION = click.option(
    "--until-gain",
    type=Real(0, 1, max_open=True),
    metavar="SHARE",
    help="Stop a photo after a step that lowers its loop L2 by less than this share of it, such as 0.01.",
)
WAITING_OPTION = click.option(
    "--waiting", type=click.IntRange(1, 10_000), default=32, show_default=True, help="Photos that may wait."
)
BATCH_OPTION = click.option(
    "--batch", type=click.IntRange(1, 64), help="Photos that run together; 1 on a CPU, 4 on a GPU."
)
BATCH_WAIT_OPTION = click.option(
    "--batch-wait",
    type=Real(0, 1000),
    default=0,
    show_default=True,
    help="Milliseconds that a photo waits for others to run with.",
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")


def exit_stopped(interrupt: KeyboardInterrupt, message: str) -> NoReturn:
    """Say that a signal ended the command, and exit as shells expect: 130 after SIGINT, 143 after SIGTERM."""
    click.echo(f"Stopped. {message}", err=True)
    sys.exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))


def user_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print the package's own errors without a traceback and exit 2; stop cleanly when told to."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except HyperStyleDeployError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_ERROR)
        except ModuleNotFoundError as error:
            extra = extra_for(error.name or "", click.get_current_context().info_name)
            if extra is None:
                raise
            click.echo(f"Error: {error.name} is not installed. Install it with: {install_command(extra)}", err=True)
            sys.exit(EXIT_ERROR)
        except KeyboardInterrupt as interrupt:
            exit_stopped(interrupt, "Nothing is half-written; the same command goes on where it can.")

    return guarded


def optimisation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of an optimisation; the command gets those that are given, as ``optimisation``."""
    names = ("method", "seed", "rate", "space", "loss", "locality", "until_lpips")

    @wraps(command)
    def collected(*args: Any, **kwargs: Any) -> Any:
        given = {name: value for name in names if (value := kwargs.pop(name)) not in (None, ())}
        if given and "method" not in given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise click.UsageError(f"{options}: for an optimisation, named with --method")
        return command(*args, optimisation=given, **kwargs)

    for option in reversed(OPTIMISATION_OPTIONS):
        collected = option(collected)
    return collected


def optimisation_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """What ``load`` takes for the options of ``optimisation_options``.

    Raises:
        ArrayError: one is out of range.
    """
    from ..runtime.methods.settings import Settings

    settings = {name: value for name, value in given.items() if name != "method"}
    if "loss" in settings:
        settings["loss"] = dict(map(_weighted, settings["loss"]))
    return {"method": given.get("method"), "settings": Settings(**settings) if settings else None}


def _weighted(text: str) -> tuple[str, float]:
    """A term and its weight out of "mse=1"."""
    term, _, weight = text.partition("=")
    try:
        return term, float(weight)
    except ValueError as error:
        raise ArrayError("A term of the loss has no weight", got=text[:80], expected="such as mse=1") from error


def loading_options(command: Callable[..., Any], backend: Callable[..., Any] = BACKEND_OPTION) -> Callable[..., Any]:
    """Options that say what runs a bundle; the command gets them as ``loading``, arguments of ``load``."""
    names = ("backend", "threads", "precision_hint", "device", "trust_engines")
    return collected_options(command, "loading", names, (backend, *LOADING_OPTIONS))


def collected_options(
    command: Callable[..., Any], argument: str, names: Sequence[str], options: Sequence[Callable[..., Any]]
) -> Callable[..., Any]:
    """A command with options that it gets as one argument."""

    @wraps(command)
    def collected(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **{argument: {name: kwargs.pop(name) for name in names}}, **kwargs)

    for option in reversed(options):
        collected = option(collected)
    return collected
