"""`align` and `paste`: photos to the crop that models of faces were trained on, and back."""

import sys
from pathlib import Path
from typing import Any

import click

from ..errors import OutputError
from ..runtime.manifest.strict_json import dump
from .faces import FACE_OPTION, FEATHER_OPTION, face_options
from .options import EXIT_FAILED, FILE, JSON_OPTION, exit_stopped, user_errors


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("-o", "--output", type=FILE, required=True, help="Folder for the faces.")
@face_options
@FACE_OPTION
@click.option("--all-faces", is_flag=True, help="Write every face of a photo, numbered from the largest.")
@click.option("--size", type=int, default=1024, show_default=True, help="Pixels of a face's side, 16 to 4096.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads a network may use.")
@JSON_OPTION
@user_errors
def align(
    photos: tuple[Path, ...],
    output: Path,
    faces: dict[str, Any],
    face: int | None,
    all_faces: bool,
    size: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Cut faces out of photos, as FFHQ's are cut.

    Where a face is says --landmarks, or --box, or --detector; the last two can be made more exact by a
    --landmark-model. Exit status: 0 all photos are done, 1 some failed, 2 nothing could be done.
    """
    from ..runtime.alignment import open_finder
    from ..runtime.photos import find_photos
    from ..runtime.serving.alignments import align_files, alignments_document
    from .show.alignment import show_aligned
    from .show.progress import count_progress

    if all_faces and face is not None:
        raise click.UsageError("--face and --all-faces exclude each other.")
    found, finder = find_photos(photos), open_finder(**faces, threads=threads)
    aligned, interrupt = [], None
    with count_progress("Aligning", len(found), "photos") as advance:
        try:
            for each in align_files(finder, found, output, size, None if all_faces else face or 1):
                aligned.append(each)
                advance()
        except KeyboardInterrupt as error:
            interrupt = error
    click.echo(dump(alignments_document(aligned, len(found)))) if as_json else show_aligned(output, aligned)
    if interrupt is not None:
        exit_stopped(interrupt, f"{len(aligned)} of {len(found)} photos are done.")
    if any(each.error for each in aligned):
        sys.exit(EXIT_FAILED)


@click.command()
@click.argument("photo", type=FILE)
@click.argument("face", type=FILE)
@click.argument("alignment", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The PNG file to write.")
@FEATHER_OPTION
@user_errors
def paste(photo: Path, face: Path, alignment: Path, output: Path, feather: float | None) -> None:
    """Put a face back into the photo that it was cut from.

    FACE is the result of an inversion, or an edit of it, at any size. ALIGNMENT is the inversion that `invert --align`
    wrote, or the .alignment.json file that `align` wrote.
    """
    from ..runtime.alignment import paste_back, read_crop
    from ..runtime.alignment.paste import FEATHER
    from ..runtime.bundle.files import check_folder_of
    from ..runtime.images import write_png

    if output.suffix.lower() != ".png":
        raise OutputError(f"Cannot write {output}", got=f"the ending {output.suffix!r}", expected=".png")
    check_folder_of(output)
    write_png(output, paste_back(photo, face, read_crop(alignment), FEATHER if feather is None else feather))
