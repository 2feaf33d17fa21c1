"""A photo and its inversion as named tensors: what the Open Inference Protocol hands over, and Triton."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....errors import ArrayError
from ...bundle.inversion import Inversion
from ...images import decode_photo
from ...manifest.manifest import Manifest
from ...session import Session
from .work import Inverting

#: BYTES are a list of byte strings.
Tensor: TypeAlias = "NDArray[Any] | list[bytes]"
#: A photo as pixels, or as a file.
PIXELS, FILE = "pixels", "file"
#: Refinement steps that a request may ask for, unless a service says otherwise.
MOST_STEPS = 100


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, its type as the protocol calls it ("UINT8", "FP32", "FP64", "BYTES"), and its shape; -1: any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


#: A request has one of them.
INPUTS = (TensorSpec(FILE, "BYTES", (1,)), TensorSpec(PIXELS, "UINT8", (-1, -1, 3)))


def output_specs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """What ``outputs_of`` gives of a bundle's inversions."""
    return (
        TensorSpec("image", "UINT8", (manifest.image.height, manifest.generator.size, 3)),
        *(TensorSpec(spec.name, "FP32", tuple(_size(dim) for dim in spec.shape)) for spec in manifest.state),
        TensorSpec("l2", "FP64", (-1,)),
        TensorSpec("inversion", "UINT8", (-1,)),
    )


def _size(dim: int | str) -> int:
    return -1 if isinstance(dim, str) else dim


def outputs_of(inversion: Inversion) -> dict[str, NDArray[Any]]:
    """A photo's result: its image, the arrays that its method keeps, its L2, and the bytes of its file."""
    assert inversion.image is not None
    return {
        "image": inversion.image,
        **inversion.arrays,
        "l2": np.asarray(inversion.l2, np.float64),
        "inversion": np.frombuffer(inversion.to_bytes(), np.uint8),
    }


def photo_of(tensors: Mapping[str, Tensor], most: int) -> Image.Image:
    """The photo in a request's inputs, of at most ``most`` pixels.

    Raises:
        ArrayError: none of ``INPUTS``, or both, or one of another type or shape.
        ImageError: no photo, a damaged one, or one that is too large.
    """
    if len(tensors) != 1 or not set(tensors) <= {PIXELS, FILE}:
        raise ArrayError("The inputs are others", got=", ".join(tensors)[:200], expected=f"{FILE} or {PIXELS}")
    ((name, tensor),) = tensors.items()
    if name == FILE:
        if not isinstance(tensor, list) or len(tensor) != 1:
            raise ArrayError(f"{FILE} is no file", expected="BYTES [1]")
        return decode_photo(tensor[0], "the photo", most)
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.uint8 or tensor.ndim != 3 or tensor.shape[2] != 3:
        raise ArrayError(f"{PIXELS} are no photo", expected="UINT8 [height, width, 3]")
    return Image.fromarray(tensor)


def inverting(session: Session, photo: Image.Image, parameters: Any, most: int) -> Inverting:
    """The work that a request asks for: ``steps`` of at most ``most`` and ``until_gain`` are its parameters.

    Raises:
        ArrayError: a parameter is out of range.
        ImageError: the photo has no pixels, or too many.
    """
    asked = parameters if isinstance(parameters, dict) else {}
    steps, gain = asked.get("steps"), asked.get("until_gain")
    if steps is not None and not (type(steps) is int and 0 <= steps <= most):
        raise ArrayError("steps is no number in range", got=str(steps)[:40], expected=f"0 to {most}")
    if gain is not None and not (type(gain) in (int, float) and 0 <= gain < 1):
        raise ArrayError("until_gain is out of range", got=str(gain)[:40], expected="0 or more, less than 1")
    return Inverting(session, session.prepare([photo]), session.checked_steps(steps), gain)
