"""What commands share that look for faces in photos."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, collected_options
from .parameters import Box, Real

if TYPE_CHECKING:
    from ..runtime.serving.alignments import FaceAlignment

_WAYS = ("landmarks", "box", "detector", "landmark_model")
_WAY_OPTIONS = (
    click.option("--landmarks", type=FILE, help="JSON file of landmarks, by the photos' names or for all alike."),
    click.option("--box", type=Box(), metavar="X0,Y0,X1,Y1", help="A face from brows to chin, cheek to cheek; pixels."),
    click.option("--detector", type=FILE, help="ONNX file of a network that finds faces (BlazeFace)."),
    click.option("--landmark-model", type=FILE, help="ONNX file of a network that places landmarks (FaceMesh)."),
)
FACE_OPTION = click.option("--face", type=click.IntRange(1), help="Which face of a photo; 1, the largest, unless said.")
FEATHER_OPTION = click.option(
    "--feather",
    type=Real(0, 0.5),
    metavar="SHARE",
    help="Share of its side over which a face fades into the photo; 0.1 unless said.",
)


def face_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where faces are; the command gets them as ``faces``, arguments of ``open_finder``."""
    return collected_options(command, "faces", _WAYS, _WAY_OPTIONS)


def alignment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a command that aligns photos first; it gets them as ``aligning``, arguments of ``face_alignment``."""
    options = (
        click.option("--align", is_flag=True, help="Cut the face out of each photo first, as the command align does."),
        click.option("--paste-back", is_flag=True, help="Also write the photo with the result in the face's place."),
        FEATHER_OPTION,
        FACE_OPTION,
        *_WAY_OPTIONS,
    )
    return collected_options(command, "aligning", ("align", "paste_back", "feather", "face", *_WAYS), options)


def face_alignment(
    align: bool, paste_back: bool, feather: float | None, face: int | None, threads: int | None, **ways: Any
) -> "FaceAlignment | None":
    """How photos are to be aligned; None for not at all.

    Raises:
        AlignmentError: what says where faces are cannot be used.
    """
    from ..runtime.alignment import open_finder
    from ..runtime.alignment.paste import FEATHER
    from ..runtime.serving.alignments import FaceAlignment

    if not align:
        if paste_back or any(value is not None for value in (feather, face, *ways.values())):
            raise click.UsageError("--paste-back, --feather, --face and what says where faces are belong to --align.")
        return None
    if feather is not None and not paste_back:
        raise click.UsageError("--feather belongs to --paste-back.")
    return FaceAlignment(
        open_finder(**ways, threads=threads), face or 1, paste_back, FEATHER if feather is None else feather
    )
