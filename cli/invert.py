"""`invert`: photos to inversions."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.manifest.strict_json import dump
from .faces import alignment_options, face_alignment
from .options import (
    EXIT_FAILED,
    FILE,
    GENERATOR_OPTION,
    JSON_OPTION,
    STEPS_OPTION,
    UNTIL_GAIN_OPTION,
    exit_stopped,
    loading_options,
    optimisation_arguments,
    optimisation_options,
    user_errors,
)

if TYPE_CHECKING:
    from ..runtime.bundle.pivot import Pivot


@click.command()
@click.argument("bundle", type=FILE)
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the results.")
@STEPS_OPTION
@UNTIL_GAIN_OPTION
@GENERATOR_OPTION
@optimisation_options
@click.option(
    "--pivot",
    type=FILE,
    metavar="FILE",
    help="Of pti with one photo: codes to tune around, an .inversion by any method or an .npy file.",
)
@click.option(
    "--store",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float16",
    show_default=True,
    help="What pti's weights are written as, a number for each of the generator's.",
)
@click.option("--batch", type=click.IntRange(1, 256), default=1, show_default=True, help="Photos that run together.")
@click.option("--every-step", is_flag=True, help="Also write the image after each step.")
@click.option("--no-strip", is_flag=True, help="Do not write the strip of input, reconstruction and steps.")
@click.option("--overwrite", is_flag=True, help="Invert photos again whose results are there.")
@alignment_options
@loading_options
@JSON_OPTION
@user_errors
def invert(
    bundle: Path,
    photos: tuple[Path, ...],
    output: Path,
    steps: int | None,
    until_gain: float | None,
    generator: str | None,
    optimisation: dict[str, Any],
    pivot: Path | None,
    store: str,
    batch: int,
    every_step: bool,
    no_strip: bool,
    overwrite: bool,
    aligning: dict[str, Any],
    loading: dict[str, Any],
    as_json: bool,
) -> None:
    """Invert photos: results, strips of the steps, and inversions.

    Photos whose results are there already are skipped. Exit status: 0 all photos are done, 1 some failed, 2 nothing
    could be run, 130 interrupted, 143 terminated; then the results have what was done until then.
    """
    from ..runtime.photos import find_photos
    from ..runtime.serving.batch import FAILED, Outputs, invert_files
    from ..runtime.serving.document import inversions_document
    from ..runtime.session import load
    from .show.inversions import show_records
    from .show.progress import photo_progress

    alignment = face_alignment(**aligning, threads=loading["threads"])
    found = find_photos(photos)
    outputs = Outputs(output, 0, not no_strip, every_step, overwrite, until_gain, alignment, store, spent=0.0)
    outputs.check_folder(found)
    if pivot is not None:
        around = _checked_pivot(pivot, bundle, optimisation, len(found))
        optimisation, outputs = {**optimisation, "pivot": around.codes}, replace(outputs, spent=around.seconds)
    session = load(bundle, **loading, **optimisation_arguments(optimisation), generator=generator)
    steps = session.checked_steps(steps)
    outputs = replace(outputs, steps=steps)
    records, interrupt = [], None
    with photo_progress(len(found), steps + 1, f"{session.backend}, {session.manifest.domain}") as advance:
        try:
            for record in invert_files(session, found, outputs, batch, advance):
                records.append(record)
        except KeyboardInterrupt as error:
            interrupt = error
    if as_json:
        document = inversions_document(session, steps, until_gain, records, len(found))
        click.echo(dump(document))
    else:
        show_records(output, records)
    if interrupt is not None:
        message = f"{len(records)} of {len(found)} photos are done; the same command does the others."
        exit_stopped(interrupt, message)
    if any(record.status == FAILED for record in records):
        sys.exit(EXIT_FAILED)


def _checked_pivot(pivot: Path, bundle: Path, optimisation: dict[str, Any], photos: int) -> "Pivot":
    """The pivot for the one photo that there is."""
    from ..errors import ArrayError
    from ..runtime.bundle.pivot import read_pivot
    from ..runtime.bundle.reader import read_manifest

    if optimisation.get("method") != "pti":
        raise click.UsageError("--pivot: for --method pti")
    if photos != 1:
        raise ArrayError("A pivot belongs to one photo", got=f"{photos} photos", expected="1")
    return read_pivot(pivot, read_manifest(bundle))
