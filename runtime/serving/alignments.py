"""Files of photos to files of faces, and the alignment of photos that are inverted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import AlignmentError, HyperStyleDeployError, OutputError, printable
from ..alignment import Aligned, Crop, FaceFinder, align_face, align_faces, paste_back
from ..alignment.ffhq import check_size
from ..alignment.paste import FEATHER
from ..bundle.files import atomic_file
from ..images import read_photo, write_png
from ..manifest.manifest import Manifest
from ..photos import check_output_folder, output_names


@dataclass(frozen=True)
class FaceAlignment:
    """How photos are aligned before they are inverted, and whether results go back into them."""

    finder: FaceFinder
    #: Which face of a photo; 1 is the largest.
    face: int = 1
    paste_back: bool = False
    feather: float = FEATHER

    @property
    def settings(self) -> dict[str, str]:
        """What an inversion's `source` says of how its photo was aligned."""
        pasted = f", pasted back with a feather of {self.feather:g}" if self.paste_back else ""
        return {"aligned_with": f"face {self.face} of {self.finder.source}{pasted}"}

    def align(self, photo: Image.Image, name: str, manifest: Manifest) -> Aligned:
        """The face of a photo, at the size of the model's pictures, or of what it looks at where that is larger."""
        return align_face(self.finder, photo, name, manifest.face_side, self.face)

    def pasting(self, photo: Image.Image, crop: Crop) -> Callable[[NDArray[np.uint8]], Image.Image] | None:
        """What puts a result into the photo, in the place of its own face; None if that is not asked for."""
        return (lambda face: paste_back(photo, face, crop, self.feather)) if self.paste_back else None


def check_takes_faces(manifest: Manifest) -> None:
    """See that a bundle's model inverts pictures of aligned faces, as far as its manifest says.

    Raises:
        AlignmentError: it looks at drawings or label maps, or its pictures are not square.
    """
    if manifest.image.kind != "photo" or manifest.image.height != manifest.generator.size:
        size = f"{manifest.generator.size}x{manifest.image.height}"
        raise AlignmentError(
            "This model does not invert aligned faces",
            got=f"{manifest.domain}, {size} pixels, from a {manifest.image.kind}",
            expected="square pictures of faces, from photos",
            hint="Leave --align out.",
        )


@dataclass(frozen=True)
class AlignedPhoto:
    """What became of one photo: a picture and the record of its alignment for every face."""

    photo: Path
    pictures: tuple[Path, ...] = ()
    records: tuple[Path, ...] = ()
    crops: tuple[Crop, ...] = ()
    error: str | None = None


def align_files(
    finder: FaceFinder, photos: Sequence[Path], folder: Path, size: int, face: int | None = 1
) -> Iterator[AlignedPhoto]:
    """Align the faces of photos into a folder; a photo that fails is one record, the others go on.

    Args:
        finder: what finds the faces.
        photos: as ``find_photos`` gives them.
        folder: for `<name>.png` and `<name>.alignment.json`, or for `<name>.face1.png` ... of all faces.
        size: pixels of a face's side.
        face: the number of the face, 1 for the largest; None for all.

    Raises:
        AlignmentError: the size is out of range.
        OutputError: the folder cannot be written, or photos are in it.
    """
    check_size(size)
    names = output_names(photos)
    check_output_folder(folder, photos)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}", got=error.strerror) from error
    for photo in photos:
        try:
            picture = read_photo(photo)
            if face is None:
                faces = align_faces(finder, picture, photo.name, size)
                stems = [f"{names[photo]}.face{number + 1}" for number in range(len(faces))]
            else:
                faces, stems = [align_face(finder, picture, photo.name, size, face)], [names[photo]]
        except OutputError:
            raise
        except HyperStyleDeployError as error:
            yield AlignedPhoto(photo, error=str(error))
        else:
            yield _written(photo, [folder / stem for stem in stems], faces)


def _written(photo: Path, places: Sequence[Path], faces: Sequence[Aligned]) -> AlignedPhoto:
    pictures = tuple(place.with_name(f"{place.name}.png") for place in places)
    records = tuple(place.with_name(f"{place.name}.alignment.json") for place in places)
    for picture, record, face in zip(pictures, records, faces, strict=True):
        write_png(picture, face.picture)
        with atomic_file(record) as partial:
            partial.write_text(f"{face.crop.text}\n")
    return AlignedPhoto(photo, pictures, records, tuple(face.crop for face in faces))


def alignments_document(photos: Sequence[AlignedPhoto], asked: int) -> dict[str, Any]:
    """What became of photos; ``interrupted`` says that there are fewer than were asked for."""
    return {
        "interrupted": len(photos) < asked,
        "photos": [
            {
                "photo": printable(str(each.photo)),
                "faces": [
                    {"picture": printable(str(picture)), "record": printable(str(record)), **crop.to_json()}
                    for picture, record, crop in zip(each.pictures, each.records, each.crops, strict=True)
                ],
                "error": each.error,
            }
            for each in photos
        ],
    }
