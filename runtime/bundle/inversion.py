"""An inversion: the few numbers that hold a photo, and their file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...errors import InversionError
from .files import atomic_file

FORMAT = "hyperstyle-deploy inversion"
FORMAT_VERSION = "1"
_DTYPES = {"codes": np.dtype(np.float32), "offset_codes": np.dtype(np.float32), "l2": np.dtype(np.float64)}


@dataclass(frozen=True, eq=False)
class Inversion:
    """A photo as codes and offset codes of one model.

    Attributes:
        codes: W+ codes, [n_styles, 512] float32.
        offset_codes: [n_tuned, 512] float32, summed over the steps; for the separable hypernetwork
            [steps, n_tuned, 512].
        steps: refinement steps taken.
        model: identifies the checkpoint pair (``Manifest.model``).
        l2: mean squared error against the photo, at the networks' input size over [-1, 1], before refinement and after
            every step.
        image: the result [height, width, 3] uint8, or None for an inversion read from a file.
        source: free text about the photo that travels with the file, for instance its checksum.
    """

    codes: NDArray[np.float32]
    offset_codes: NDArray[np.float32]
    steps: int
    model: str
    l2: tuple[float, ...] = ()
    image: NDArray[np.uint8] | None = None
    source: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Write the inversion, without its image, as a safetensors file (about 70 KB at 1024).

        Raises:
            InversionError: codes of another type than float32, or not finite: such a file could not be read back.
            OutputError: the folder is read-only or the disk is full.
        """
        arrays: dict[str, NDArray[Any]] = {
            "codes": np.ascontiguousarray(self.codes),
            "offset_codes": np.ascontiguousarray(self.offset_codes),
            "l2": np.asarray(self.l2, np.float64),
        }
        metadata = {f"source.{key}": value for key, value in self.source.items()}
        metadata |= {"format": FORMAT, "version": FORMAT_VERSION, "steps": str(self.steps), "model": self.model}
        _check_arrays("The inversion", arrays)
        with atomic_file(Path(path)) as partial:
            partial.write_bytes(save(arrays, metadata))

    @classmethod
    def load(cls, path: "str | os.PathLike[str]") -> "Inversion":
        """Read an inversion.

        Raises:
            InversionError: there is none, it is damaged, of another version, or its arrays are of the wrong type.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        # AttributeError: a dtype that numpy lacks.
        except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
            raise InversionError(f"Cannot read the inversion {path}", got=error) from error
        if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
            raise InversionError(
                f"{path} is not an inversion of this version",
                got=f"{metadata.get('format')} {metadata.get('version')}",
                expected=f"{FORMAT} {FORMAT_VERSION}",
            )
        steps = metadata.get("steps", "")
        if not (steps.isdecimal() and len(steps) < 10):
            raise InversionError(f"{path} has no number of steps", got=repr(steps)[:80], expected="a small integer")
        _check_arrays(str(path), arrays)
        source = {key.removeprefix("source."): value for key, value in metadata.items() if key.startswith("source.")}
        l2 = tuple(float(value) for value in arrays["l2"].ravel())
        return cls(arrays["codes"], arrays["offset_codes"], int(steps), metadata.get("model", ""), l2, None, source)


def _check_arrays(name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    found = {key: array.dtype for key, array in arrays.items()}
    if found != _DTYPES:
        got, expected = (", ".join(f"{key} {dtype}" for key, dtype in sorted(d.items())) for d in (found, _DTYPES))
        raise InversionError(f"{name} does not hold the arrays of an inversion", got=got or "none", expected=expected)
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InversionError(f"{name} has NaN or Inf in it")
