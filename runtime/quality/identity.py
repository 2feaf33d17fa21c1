"""Whether two pictures show one person, by a face recogniser that the user brings as an ONNX file."""

import math
import os

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import BackendError
from ..alignment.networks import PictureNetwork
from .evaluation import Measure

#: What the measure is called, as in the paper's tables.
NAME = "ID"
#: Pixels of a side of what such networks look at, and which part of a face aligned as FFHQ's, of 256 pixels, that is:
#: left, upper, right, lower, as pSp's and HyperStyle's identity losses cut it out.
SIDE, BOX = 112, (32, 35, 220, 223)
#: Numbers of an embedding; ArcFace has 512.
SIZES = range(32, 4097)
#: ArcFace's largest published network has 261 MB.
MAX_BYTES = 512 << 20


def open_identity(path: "str | os.PathLike[str]", threads: int | None = None) -> Measure:
    """The cosine of two pictures' embeddings, each [3, 256, 256] float32 in [-1, 1] and aligned as FFHQ's faces.

    The middle of each, ``BOX``, is brought to 112 pixels by Pillow's bilinear filter; the network gets RGB over [-1, 1]
    (ArcFace, Deng et al., CVPR 2019) and gives one vector.

    Args:
        path: an ONNX file, [1 or N, 3, 112, 112] or [1 or N, 112, 112, 3] float32 to [1 or N, D] float32.
        threads: CPU threads of a run.

    Raises:
        BackendError: it cannot be read or loaded, or has another layout.
    """
    network = PictureNetwork(path, threads, MAX_BYTES, BackendError)
    if network.side != SIDE or len(network.outputs) != 1 or not _is_embedding(network.outputs[0]):
        raise network.refuse(f"pictures of {SIDE} pixels to one vector of {SIZES.start} to {SIZES.stop - 1} numbers")

    def embedding(picture: NDArray[np.float32]) -> NDArray[np.float64]:
        # As they were before `paper_input`: nothing is lost on the way through 8 bits.
        values = np.clip(np.rint((picture.transpose(1, 2, 0) + 1) * 127.5), 0, 255)
        pixels = Image.fromarray(values.astype(np.uint8))
        face = pixels.crop(BOX).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return network.run(face, -1.0)[0].reshape(-1).astype(np.float64)

    def measure(result: NDArray[np.float32], original: NDArray[np.float32]) -> float:
        one, other = embedding(result), embedding(original)
        length = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(one @ other) / length if length > 0 and math.isfinite(length) else math.nan

    return measure


def _is_embedding(shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 and shape[0] in SIZES
