"""`edit`: inversions to edited pictures."""

from pathlib import Path
from typing import Any

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, GENERATOR_OPTION, JSON_OPTION, METHOD_OPTION, exit_stopped, loading_options, user_errors
from .parameters import Assignment, RowsOf


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("inversions", type=FILE, nargs=-1, required=True, metavar="INVERSION...")
@click.option(
    *("--direction", "strengths"),
    type=Assignment(),
    multiple=True,
    metavar="NAME=STRENGTH",
    help="A direction of the bundle; NAME=FROM:TO:COUNT makes a row of pictures.",
)
@click.option(
    *("--mix", "mixes"),
    type=RowsOf(),
    multiple=True,
    metavar="FIRST:END=INVERSION",
    help="Rows of another inversion's codes in every picture, END not included.",
)
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the pictures.")
@METHOD_OPTION
@GENERATOR_OPTION
@loading_options
@JSON_OPTION
@user_errors
def edit(
    bundle: Path,
    inversions: tuple[Path, ...],
    strengths: tuple[tuple[str, tuple[float, ...]], ...],
    mixes: tuple[tuple[tuple[int, int], Path], ...],
    output: Path,
    method: str | None,
    generator: str | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Move inversions along directions, and draw them.

    Single strengths act together; each direction with several is a row of its own. Of every inversion there are a
    contact sheet and single pictures, all drawn with the person's own generator.
    """
    from ..runtime.bundle.inversion import Inversion
    from ..runtime.editing.change import Mix
    from ..runtime.serving.edits import edit_files, edit_rows, edits_document
    from ..runtime.session import load
    from .show.editing import show_edits
    from .show.progress import count_progress

    if not strengths and not mixes:
        raise click.UsageError("There is nothing to do: give --direction or --mix.")
    if len({name for name, _ in strengths}) != len(strengths):
        raise click.UsageError("A direction is given twice.")
    rows = edit_rows(strengths)
    mixed = [Mix(Inversion.load(file), span) for span, file in mixes]
    session = load(bundle, **loading, method=method, generator=generator)
    records, interrupt = [], None
    pictures = len(inversions) * (1 + sum(map(len, rows)))
    with count_progress("Drawing", pictures, "pictures") as advance:
        try:
            for record in edit_files(session, inversions, rows, output, dict.fromkeys(mixed, 1.0), advance):
                records.append(record)
        except KeyboardInterrupt as error:
            interrupt = error
    document = edits_document(session, records, len(inversions), mixes)
    click.echo(dump(document)) if as_json else show_edits(records)
    if interrupt is not None:
        exit_stopped(interrupt, f"{len(records)} of {len(inversions)} inversions are done.")
