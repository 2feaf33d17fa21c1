"""What became of photos that were aligned."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from .text import OUT, add_row, right, show_next

if TYPE_CHECKING:
    from ...runtime.serving.alignments import AlignedPhoto


def show_aligned(folder: Path, photos: "Sequence[AlignedPhoto]") -> None:
    """Print where each face was in its photo: the side of its square, and by how much it was turned."""
    table = Table("photo", right("pixels"), right("turned"), "face")
    for photo in photos:
        for picture, crop in zip(photo.pictures, photo.crops, strict=True):
            (left, upper), _, _, (right_x, right_y) = crop.quad
            degrees = math.degrees(math.atan2(right_y - upper, right_x - left))
            add_row(table, photo.photo.name, f"{crop.side:.0f}", f"{degrees:.1f}", picture.name)
        if photo.error is not None:
            add_row(table, photo.photo.name, "", "", photo.error)
    OUT.print(table)
    if any(photo.pictures for photo in photos):
        OUT.print(f"Faces are in {folder}")
        show_next("invert", "BUNDLE", folder, "-o", "RESULTS")
