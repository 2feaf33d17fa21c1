"""An inversion: the few numbers that hold a photo, and their file."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InversionError
from ..manifest.checks import MAX_STEPS
from ..manifest.manifest import Manifest
from . import tensor_files
from .files import atomic_file
from .narrow import FLOAT32, narrowed, widened

if TYPE_CHECKING:
    from ..methods.base import Method

FORMAT = "hyperstyle-deploy inversion"
FORMAT_VERSION = "2"
L2 = "l2"
#: Before the names of what ``source`` says of the result, not of the photo or of what was asked for.
RESULT = "result."
_SECONDS, _BEGUN_WITH = f"{RESULT}seconds", f"{RESULT}begun_with"
_MADE_WITH = "Use the bundle that it was made with"
#: The largest has 1000 steps of offset codes, 60 MB at the published width.
MAX_BYTES = 128 << 20


@dataclass(frozen=True, eq=False)
class Inversion:
    """A photo as arrays of one model.

    Attributes:
        arrays: what the method keeps of a photo, by name, float32, shaped as ``Manifest.state`` says: ``codes`` always,
            for HyperStyle ``offset_codes``.
        steps: refinement steps taken.
        method: the method, as bundles call it.
        model: identifies the checkpoints (``Manifest.model``).
        l2: mean squared error against the photo, at the networks' input size over [-1, 1], before refinement and after
            every step; empty where the input is no photo.
        image: the result [height, width, 3] uint8, or None for an inversion read from a file.
        source: free text about the photo that travels with the file, for instance its checksum.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    steps: int
    method: str
    model: str
    l2: tuple[float, ...] = ()
    image: NDArray[np.uint8] | None = None
    source: Mapping[str, str] = field(default_factory=dict)

    @property
    def codes(self) -> NDArray[np.float32]:
        """W+ codes, [styles, width] float32."""
        return self.arrays["codes"]

    @property
    def offset_codes(self) -> NDArray[np.float32]:
        """HyperStyle's offset codes, summed over the steps or those of every step.

        Raises:
            InversionError: the method has none.
        """
        if "offset_codes" not in self.arrays:
            raise InversionError("The inversion has no offset codes", got=self.method, expected="hyperstyle")
        return self.arrays["offset_codes"]

    @property
    def seconds(self) -> float | None:
        """How long the photo took, without reading it and writing its files; None where that was not noted.

        Raises:
            InversionError: what is noted is no time.
        """
        noted = self.source.get(_SECONDS)
        if noted is None:
            return None
        try:
            seconds = float(noted)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise InversionError("The inversion's seconds are none", got=repr(noted)[:80], expected="0 or more")
        return seconds

    @property
    def begun_with(self) -> str | None:
        """The method that an optimisation began with the result of; None where that was not noted."""
        return self.source.get(_BEGUN_WITH)

    def noted(self, seconds: float | None = None, begun_with: str | None = None) -> "Inversion":
        """The same inversion, whose ``source`` also says this of its result."""
        seen = {_SECONDS: None if seconds is None else f"{seconds:.4f}", _BEGUN_WITH: begun_with}
        told = {key: value for key, value in seen.items() if value is not None}
        return replace(self, source={**self.source, **told})

    def __repr__(self) -> str:
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        arrays = ", ".join(f"{name} {list(array.shape)}" for name, array in self.arrays.items())
        error = f", l2 {self.l2[-1]:.4f}" if self.l2 else ""
        return f"Inversion({self.method}, {steps}, {arrays}{error}, model {self.model[:12]})"

    def check(self, manifest: Manifest, method: "Method | None" = None) -> None:
        """See that it belongs to a bundle, run as its own method or as another one.

        Raises:
            InversionError: it is of another model or method, or its arrays are not shaped as the bundle's are.
        """
        self.check_model(manifest)
        expected_method = manifest.method.name if method is None else method.name
        if self.method != expected_method:
            raise InversionError(
                "The inversion belongs to another method",
                got=self.method[:44],
                expected=expected_method,
                hint=f"{_MADE_WITH}, loaded with the {_loaded_as(self.method)}.",
            )
        if type(self.steps) is not int or not 0 <= self.steps <= MAX_STEPS:
            raise InversionError(
                "The inversion has no number of steps", got=repr(self.steps)[:80], expected=f"0 to {MAX_STEPS}"
            )
        got = {name: list(array.shape) for name, array in self.arrays.items()}
        state = manifest.state if method is None else method.state()
        expected = {array.name: list(array.sized(self.steps)) for array in state}
        if got != expected:
            raise InversionError("The inversion's arrays do not fit", got=got, expected=expected)

    def check_model(self, manifest: Manifest) -> None:
        """See that its codes are of a bundle's model, whatever method found them.

        Raises:
            InversionError: they are not, or are of another shape.
        """
        if self.model != manifest.model:
            raise InversionError(
                "The inversion belongs to another model",
                got=self.model[:12],
                expected=manifest.model[:12],
                hint=f"{_MADE_WITH}.",
            )
        shape = manifest.generator.styles, manifest.generator.width
        if self.codes.shape != shape:
            raise InversionError("The inversion's codes do not fit", got=list(self.codes.shape), expected=list(shape))

    def save(self, path: "str | os.PathLike[str]", stored: str = FLOAT32) -> None:
        """Write the inversion, without its image, as a safetensors file (about 70 KB of a HyperStyle face at 1024).

        Args:
            path: the file.
            stored: what arrays as large as a generator, those of PTI, are written as: "float32", "float16" or "int8".

        Raises:
            InversionError: arrays of another type than float32, or not finite: such a file could not be read back.
            OutputError: the folder is read-only or the disk is full.
        """
        content = self.to_bytes(stored)
        with atomic_file(Path(path)) as partial:
            partial.write_bytes(content)

    def to_bytes(self, stored: str = FLOAT32) -> bytes:
        """What ``save`` writes.

        Raises:
            InversionError: arrays of another type than float32, or not finite: they could not be read back.
        """
        arrays: dict[str, NDArray[Any]] = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        arrays[L2] = np.asarray(self.l2, np.float64)
        metadata = {f"source.{key}": value for key, value in self.source.items()}
        metadata |= {"format": FORMAT, "version": FORMAT_VERSION, "steps": str(self.steps)}
        metadata |= {"method": self.method, "model": self.model}
        _check_arrays("The inversion", arrays, self.steps)
        return tensor_files.stored(narrowed(arrays, stored), metadata)

    @classmethod
    def load(cls, path: "str | os.PathLike[str]") -> "Inversion":
        """Read an inversion.

        Raises:
            InversionError: there is none, it is damaged, of another version, or its arrays are of the wrong type.
        """
        try:
            narrow, metadata = tensor_files.read_tensor_file(Path(path), MAX_BYTES)
            arrays = widened(narrow)
        except ValueError as error:
            raise InversionError(f"Cannot read the inversion {path}", got=error) from error
        return cls._read(arrays, metadata, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "the inversion") -> "Inversion":
        """Read what ``to_bytes`` gave; ``name`` is what errors call it.

        Raises:
            InversionError: as ``load``.
        """
        try:
            narrow, metadata = tensor_files.parse_tensors(content, MAX_BYTES)
            arrays = widened(narrow)
        except ValueError as error:
            raise InversionError(f"Cannot read {name}", got=error) from error
        return cls._read(arrays, metadata, name)

    @classmethod
    def _read(cls, arrays: dict[str, NDArray[Any]], metadata: Mapping[str, str], name: str) -> "Inversion":
        if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
            raise InversionError(
                f"{name} is not an inversion of this version",
                got=f"{metadata.get('format')} {metadata.get('version')}",
                expected=f"{FORMAT} {FORMAT_VERSION}",
                hint="Invert the photo again." if metadata.get("format") == FORMAT else None,
            )
        steps = metadata.get("steps", "")
        if not (steps.isascii() and steps.isdecimal() and len(steps) < 10 and int(steps) <= MAX_STEPS):
            raise InversionError(
                f"{name} has no number of steps", got=repr(steps)[:80], expected=f"an integer from 0 to {MAX_STEPS}"
            )
        _check_arrays(name, arrays, int(steps))
        l2 = tuple(float(value) for value in arrays.pop(L2))
        source = {key.removeprefix("source."): value for key, value in metadata.items() if key.startswith("source.")}
        return cls(arrays, int(steps), metadata.get("method", ""), metadata.get("model", ""), l2, None, source)


def _loaded_as(method: str) -> str:
    """What to load a bundle with for the inversions of a method, or of one that a further generator draws."""
    own, _, generator = method.partition("+")
    return f"generator {generator[:40]}" if generator else f"method {own[:40]}"


def _check_arrays(name: str, arrays: Mapping[str, NDArray[Any]], steps: int) -> None:
    """See that there are codes and errors of the right types, and nothing that is not finite."""
    expected = {key: np.dtype(np.float64 if key == L2 else np.float32) for key in {*arrays, "codes", L2}}
    found = {key: array.dtype for key, array in arrays.items()}
    if found != expected:
        got, wanted = (", ".join(f"{key} {dtype}" for key, dtype in sorted(d.items())) for d in (found, expected))
        raise InversionError(f"{name} does not hold the arrays of an inversion", got=got or "none", expected=wanted)
    if arrays[L2].shape not in ((0,), (steps + 1,)):
        raise InversionError(f"{name} has l2 of another length", got=list(arrays[L2].shape), expected=[steps + 1])
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InversionError(f"{name} has NaN or Inf in it")
