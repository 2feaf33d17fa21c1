"""`verify`: a bundle's files, and its results against a reference."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from .options import EXIT_FAILED, FILE, JSON_OPTION, loading_options, user_errors


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--against", type=FILE, help="The HyperStyle checkpoint to compare with, in PyTorch.")
@click.option("--w-encoder", type=FILE, help="The checkpoint's W-encoder.")
@click.option("--photo", type=FILE, help="The photo to run; the demo's unless said.")
@click.option("--steps", type=click.IntRange(0, 100), help="Refinement steps.")
@loading_options
@JSON_OPTION
@user_errors
def verify(
    bundle: Path,
    against: Path | None,
    w_encoder: Path | None,
    photo: Path | None,
    steps: int | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Check a bundle's files, and with --against its results at every step of the loop.

    Exit status: 0 all is well, 1 a result is out of tolerance, 2 the bundle cannot be used.
    """
    from ..demo import PHOTO
    from ..runtime.session import load
    from .show.fidelity import show_differences, show_loaded, verify_summary

    if (against is None) != (w_encoder is None):
        raise click.UsageError("--against and --w-encoder belong together.")
    if against is None and (photo is not None or steps is not None):
        raise click.UsageError("--photo and --steps are for a comparison: give --against as well.")
    session = load(bundle, **loading)
    if against is None or w_encoder is None:
        show_loaded(bundle, session, as_json)
        return
    from ..export.verification import verify_against

    differences = verify_against(session, against, w_encoder, photo or PHOTO, steps)
    good = all(difference.within for difference in differences)
    if as_json:
        click.echo(json.dumps(verify_summary(session, differences), indent=1))
    else:
        show_differences(session, differences)
    if not good:
        sys.exit(EXIT_FAILED)
