"""What a drawn face is made of: the names of its parameters and extras, and their values for a seed."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

#: What the generator learns: each in [0, 1], uniform and independent, in the order of the columns of `sample`.
PARAMETERS = (
    "background_light", "background_warmth", "background_green",
    "skin_tone", "skin_warmth",
    "hair_tone", "hair_warmth", "hair_length", "hair_volume", "fringe", "parting",
    "face_width", "jaw", "age",
    "eye_spacing", "eye_size", "eye_open", "eye_colour", "gaze",
    "brow_height", "brow_slant", "nose",
    "smile", "mouth_width", "mouth_open",
    "turn", "shirt_warmth", "shirt_green",
)  # fmt: skip

#: What it never sees: present or not, with a colour and a shape of its own.
EXTRAS = ("glasses", "hat", "beard", "earrings", "freckles")

#: Columns of an extras array: presence of each (0 or 1), then the attributes, uniform in [0, 1].
ATTRIBUTES = ("frame_colour", "frame_shape", "tint", "hat_warmth", "hat_green", "brim", "beard_length", "hoop")

#: Training draws seeds below this one; held-out pictures start here.
HELD_OUT = 1 << 30


def sample(seeds: Iterable[int]) -> tuple[Tensor, Tensor]:
    """The parameters and extras of the faces ``seeds``: a face depends on its own seed alone.

    Returns:
        parameters, [n, 28] float32 in [0, 1); extras, [n, 13] float32, at least one of them present. Draw a picture
        without them by leaving the extras out.
    """
    count = len(PARAMETERS)
    rows = []
    for seed in seeds:
        random = np.random.Generator(np.random.Philox(key=seed))
        values = random.random(count + len(EXTRAS) + len(ATTRIBUTES) + 1)
        present = values[count : count + len(EXTRAS)] < 0.35
        present[int(values[-1] * len(EXTRAS))] = True
        values[count : count + len(EXTRAS)] = present
        rows.append(values[:-1].astype(np.float32))
    table = torch.from_numpy(np.stack(rows))
    return table[:, :count], table[:, count:]
