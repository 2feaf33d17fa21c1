"""`serve`: bundles over HTTP, and a page."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..demo import BUNDLE, FACE
from ..errors import ServiceError
from .options import (
    BATCH_OPTION,
    BATCH_WAIT_OPTION,
    EXIT_FAILED,
    FILE,
    WAITING_OPTION,
    loading_options,
    user_errors,
)
from .parameters import Real
from .stopping import end_at_once

if TYPE_CHECKING:
    from ..runtime.alignment import FaceFinder

#: Of a file that holds a token.
_MOST_TOKEN, _LEAST_TOKEN = 4096, 16


@click.command()
@click.argument("bundles", type=FILE, nargs=-1, metavar="[BUNDLE...]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for the network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--page/--no-page", default=None, help="Show the page at /; unless said, on the loopback alone.")
@click.option("--token-file", type=FILE, help="File whose text clients have to send: Authorization: Bearer TEXT.")
@click.option(
    "--generator",
    "generators",
    metavar="NAME",
    multiple=True,
    help="A further generator of the bundles, such as toonify, that requests may name; again for more.",
)
@click.option("--detector", type=FILE, help="ONNX file of a network that finds faces (BlazeFace).")
@click.option("--landmark-model", type=FILE, help="ONNX file of a network that places landmarks (FaceMesh).")
@WAITING_OPTION
@BATCH_OPTION
@BATCH_WAIT_OPTION
@click.option("--deadline", type=Real(0.1), default=120, show_default=True, help="Seconds for an answer.")
@click.option("--stall", type=Real(1), default=120, show_default=True, help="Seconds after which a step hangs.")
@click.option("--drain", type=Real(0), default=30, show_default=True, help="Seconds to finish, at the end.")
@click.option("--body", type=click.IntRange(1, 1024), default=16, show_default=True, help="Most MiB of a request.")
@loading_options
@user_errors
def serve(
    bundles: tuple[Path, ...],
    host: str,
    port: int,
    page: bool | None,
    token_file: Path | None,
    generators: tuple[str, ...],
    detector: Path | None,
    landmark_model: Path | None,
    waiting: int,
    batch: int | None,
    batch_wait: float,
    deadline: float,
    stall: float,
    drain: float,
    body: int,
    loading: dict[str, Any],
) -> None:
    """Serve bundles over HTTP, with a page to try them on.

    Where no bundle is named, the demo's own is served.

    SIGTERM and Ctrl-C finish what was taken; SIGHUP loads the bundles again, and keeps those that are damaged now.
    """
    from ..runtime.backends import BACKENDS, resolve
    from ..runtime.serving.http.server import serve as run
    from ..runtime.serving.http.service import Service
    from ..runtime.serving.http.settings import Settings
    from ..runtime.serving.live.served import names_of
    from ..runtime.serving.live.worker import Queueing
    from ..runtime.session import load

    loading["backend"] = resolve(loading["backend"])
    # A CPU has no more to give to several photos than to one, and each would wait for all.
    batch = batch or (4 if BACKENDS[loading["backend"]].gpu else 1)
    settings = Settings(
        *(host, port, None if token_file is None else _token(token_file), page),
        body_bytes=body << 20,
        deadline=deadline,
        drain=drain,
        queueing=Queueing(waiting, batch, batch_wait / 1000, stall=stall),
    )
    finder = _finder(detector, landmark_model, loading["threads"])
    loaders = {name: partial(load, path, **loading) for name, path in names_of(bundles or (BUNDLE,)).items()}
    # The demo's photo is of the demo's model: nobody drew other models' people.
    example = FACE.read_bytes() if not bundles or BUNDLE.resolve() in {path.resolve() for path in bundles} else None
    service = Service(loaders, settings, finder, example, generators)
    if not settings.on_loopback and settings.token is None:
        click.echo("Whoever reaches this address can use the service: --token-file would ask for a token.", err=True)
    if not run(service, lambda address: _started(address, service.bundles, settings.shows_page)):
        # A call of a library that hangs would hold the process at its end.
        end_at_once("What was taken did not end in time. Stopped without it.", EXIT_FAILED)


def _started(address: str, names: Any, page: bool) -> None:
    click.echo(f"Serving {', '.join(names)} at {address}/{'' if page else 'v1/bundles'} (Ctrl-C ends it)")


def _token(path: Path) -> str:
    """The token in a file."""
    from ..runtime.bundle.files import open_plain

    try:
        with open_plain(path) as stream:
            token = stream.read(_MOST_TOKEN + 1).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise ServiceError(f"Cannot read a token from {path}", got=getattr(error, "strerror", None) or error) from error
    if not _LEAST_TOKEN <= len(token) <= _MOST_TOKEN or not token.isprintable() or " " in token:
        expected = f"{_LEAST_TOKEN} to {_MOST_TOKEN} characters without spaces"
        raise ServiceError(f"{path} holds no token", got=f"{len(token)} characters", expected=expected)
    return token


def _finder(detector: Path | None, landmark_model: Path | None, threads: int | None) -> "FaceFinder | None":
    """What finds faces; None where nothing was given for it."""
    from ..runtime.alignment import open_finder

    if detector is None and landmark_model is not None:
        raise click.UsageError("--landmark-model belongs to --detector.")
    return None if detector is None else open_finder(None, None, detector, landmark_model, threads)
