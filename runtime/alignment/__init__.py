"""Faces out of photos as FFHQ has them, and back: landmarks, the crop, its record, and pasting."""

from .crop import Crop
from .faces import FaceFinder, align_face, align_faces
from .ffhq import Aligned, align
from .finders import open_finder
from .paste import paste_back
from .record import crop_of, read_crop

__all__ = [
    "Aligned",
    "Crop",
    "FaceFinder",
    "align",
    "align_face",
    "align_faces",
    "crop_of",
    "open_finder",
    "paste_back",
    "read_crop",
]
