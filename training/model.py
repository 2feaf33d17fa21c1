"""Writes the model as it ships: checkpoints, the bundle of them with its directions, and a photo to try it on."""

from pathlib import Path

import torch
from PIL import Image

from ..export.exporter import export
from ..export.methods.model import Choices
from ..runtime.bundle.reader import Bundle
from ..runtime.editing.direction import Direction
from ..runtime.editing.folder import Directions
from ..runtime.manifest.manifest import Manifest
from .checkpoints import LICENCE, write_checkpoints, write_encoders
from .generator import W_SCALE, Codes
from .networks import Widths
from .parameters import HELD_OUT, PARAMETERS, sample
from .pictures import draw

#: The parameters that make a direction worth a name of its own, and that name.
DIRECTIONS = {
    "smile": "smile", "turn": "pose", "age": "age", "hair_length": "hair_length", "hair_tone": "fair_hair",
    "hair_warmth": "red_hair", "mouth_open": "open_mouth", "eye_open": "open_eyes", "gaze": "gaze",
    "brow_slant": "worried", "face_width": "wide_face", "skin_tone": "fair_skin", "fringe": "fringe",
}  # fmt: skip
#: Of a direction: 2 W_SCALE moves its parameter from one end to the other.
STRENGTHS = (-W_SCALE, W_SCALE)
PHOTO_SIZE = 256


def write_model(folder: Path, target: Path, widths: Widths, photo: int) -> Bundle:
    """Write the checkpoints, `faces<size>.bundle` of HyperStyle's, and `photo.png`, from finished trainings.

    Args:
        folder: of the trainings.
        target: where to write.
        widths: of the networks.
        photo: which held-out picture is the photo, from 0; with its extras.
    """
    checkpoints = write_checkpoints(folder, target, widths)
    write_encoders(folder, target, widths)
    path = target / f"faces{widths.size}.bundle"
    bundle = export(checkpoints, path, choices=Choices(styles=True), licence=LICENCE, overwrite=True)
    found = directions(bundle.manifest, Codes(widths.style))
    Directions(bundle.path, bundle.manifest).add(found, overwrite=True)
    parameters, extras = sample([HELD_OUT + photo])
    pixels = (draw(parameters, PHOTO_SIZE, extras)[0].permute(1, 2, 0) + 1) * 127.5
    Image.fromarray(pixels.round().to(torch.uint8).numpy()).save(target / "photo.png")
    return bundle


def directions(manifest: Manifest, codes: Codes) -> list[Direction]:
    """The named directions of a model, each of unit length and for all rows."""
    rows = (0, manifest.generator.styles)
    source = {"from": "the map from parameters to codes that the generator was trained on"}
    vectors = {name: codes.directions[PARAMETERS.index(parameter)][None] for parameter, name in DIRECTIONS.items()}
    return [
        Direction(name, vector.numpy().copy(), rows, STRENGTHS, manifest.model, source=source)
        for name, vector in vectors.items()
    ]
