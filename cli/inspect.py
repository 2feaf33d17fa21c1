"""`inspect`: what a checkpoint, a bundle, or a file of either is."""

from pathlib import Path

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors


@click.command()
@click.argument("path", type=FILE, metavar="CHECKPOINT|BUNDLE|FILE")
@click.option("--check", is_flag=True, help="Of a checkpoint, also look at every number and compute the SHA-256.")
@JSON_OPTION
@user_errors
def inspect(path: Path, check: bool, as_json: bool) -> None:
    """Say what a file or folder is and what to do with it.

    A checkpoint is described by its options and the names and shapes of its tensors, with what exporting it needs; a
    bundle by its manifest, with the engines that it has. Inversions, graphs and engines are described as well.
    """
    if path.is_dir():
        _inspect_bundle(path, as_json)
        return
    from ..export.archive import open_archive
    from ..runtime.inspection import describe

    found = describe(path) if path.is_file() else None
    if found is not None:
        from .show.bundle import show_found

        click.echo(dump(found.to_json())) if as_json else show_found(found)
        return
    open_archive(path)  # what it is, before PyTorch is asked for
    from ..export.inspection import inspect as inspect_checkpoint
    from .show.bundle import show_checkpoint

    description = inspect_checkpoint(path, every_byte=check)
    click.echo(dump(description.to_json())) if as_json else show_checkpoint(description)


def _inspect_bundle(path: Path, as_json: bool) -> None:
    from ..runtime.backends.engines.overview import engine_states
    from ..runtime.bundle.reader import Bundle, read_manifest
    from ..runtime.editing.folder import Directions
    from .show.bundle import show_bundle, show_engines
    from .show.editing import show_direction_names

    manifest = read_manifest(path)
    states = engine_states(Bundle(path, manifest))
    directions = Directions(path, manifest).names()
    if as_json:
        engines = [state.to_json() for state in states]
        click.echo(dump({**manifest.to_json(), "engines": engines, "directions": directions}))
    else:
        show_bundle(path, manifest)
        show_direction_names(directions)
        show_engines(states)
