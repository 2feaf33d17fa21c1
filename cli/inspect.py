"""`inspect`: what a checkpoint or a bundle is."""

from pathlib import Path

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, JSON_OPTION, user_errors


@click.command()
@click.argument("path", type=FILE, metavar="CHECKPOINT|BUNDLE")
@click.option("--check", is_flag=True, help="Of a checkpoint, also look at every number and compute the SHA-256.")
@JSON_OPTION
@user_errors
def inspect(path: Path, check: bool, as_json: bool) -> None:
    """Say what a checkpoint is and what exporting it needs, or what a bundle holds and which engines it has.

    A checkpoint is described by its options and the names and shapes of its tensors.
    """
    from .show.bundle import show_bundle, show_checkpoint, show_engines

    if path.is_dir():
        from ..runtime.backends.engines.overview import engine_states
        from ..runtime.bundle.reader import Bundle, read_manifest

        manifest = read_manifest(path)
        states = engine_states(Bundle(path, manifest))
        if as_json:
            engines = [state.to_json() for state in states]
            click.echo(dump({**manifest.to_json(), "engines": engines}))
        else:
            show_bundle(path, manifest)
            show_engines(states)
        return
    from ..export.inspection import inspect as inspect_checkpoint

    description = inspect_checkpoint(path, every_byte=check)
    click.echo(dump(description.to_json())) if as_json else show_checkpoint(description)
