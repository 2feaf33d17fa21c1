"""`animate`: inversions to a film."""

from pathlib import Path
from typing import Any

import click

from ..runtime.manifest.strict_json import dump
from .options import FILE, GENERATOR_OPTION, JSON_OPTION, METHOD_OPTION, loading_options, user_errors
from .parameters import Assignment, Real


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("inversions", type=FILE, nargs=-1, required=True, metavar="INVERSION...")
@click.option(
    *("-o", "--output"),
    type=FILE,
    required=True,
    help="The film: .mp4 (with the extra `video`), .gif, .webp, or a folder for PNG files.",
)
@click.option(
    *("--direction", "strengths"),
    type=Assignment(moving=True),
    multiple=True,
    metavar="NAME=FROM:TO",
    help="A direction of the bundle to go along; NAME=STRENGTH holds still.",
)
@click.option("--seconds", type=Real(0, min_open=True), default=4, show_default=True, help="How long it is.")
@click.option("--rate", type=Real(1, 120), default=30, show_default=True, help="Frames a second.")
@click.option("--loop", is_flag=True, help="Come back to where it began.")
@click.option("--easing", type=click.Choice(["smooth", "linear"]), default="smooth", show_default=True)
@click.option("--batch", type=click.IntRange(1, 64), default=8, show_default=True, help="Frames drawn together.")
@click.option("--overwrite", is_flag=True, help="Replace the film if it is there.")
@METHOD_OPTION
@GENERATOR_OPTION
@loading_options
@JSON_OPTION
@user_errors
def animate(
    bundle: Path,
    inversions: tuple[Path, ...],
    output: Path,
    strengths: tuple[tuple[str, tuple[float, ...]], ...],
    seconds: float,
    rate: float,
    loop: bool,
    easing: str,
    batch: int,
    overwrite: bool,
    method: str | None,
    generator: str | None,
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Go from inversion to inversion, and along directions.

    Between two people everything that is theirs is interpolated, their generators' weights too. One inversion needs a
    direction to go along.
    """
    from ..runtime.bundle.inversion import Inversion
    from ..runtime.editing.film import check_film, film_document, write_film
    from ..runtime.editing.trajectory import Trajectory
    from ..runtime.session import load
    from .show.editing import show_film
    from .show.progress import count_progress, counted

    if len({name for name, _ in strengths}) != len(strengths):
        raise click.UsageError("A direction is given twice.")
    spans = {name: (values[0], values[-1]) for name, values in strengths}
    if len(inversions) == 1 and all(first == last for first, last in spans.values()):
        raise click.UsageError("Nothing would move: give several inversions, or --direction NAME=FROM:TO.")
    check_film(output, rate, overwrite)
    people = [Inversion.load(file) for file in inversions]
    session = load(bundle, **loading, method=method, generator=generator)
    count = max(2, round(seconds * rate))
    frames = session.frames(Trajectory(people, spans, loop, easing), count, batch)
    with count_progress("Drawing", count, "frames") as advance:
        write_film(output, counted(frames, advance), count, rate, overwrite)
    film = film_document(output, count, rate)
    click.echo(dump(film)) if as_json else show_film(film)
