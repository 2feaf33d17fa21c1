"""A direction: what an edit of a given strength adds to a person's codes, and its file."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DirectionError
from ..bundle.files import atomic_file
from ..bundle.tensor_files import read_tensor_file, stored
from ..manifest.manifest import Manifest
from .change import Change, Codes, Styles
from .channels import check_channels

FORMAT = "hyperstyle-deploy direction"
FORMAT_VERSION = "1"
VECTOR, COMPONENT, CHANNELS = "vector", "component", "channels"
#: Arrays of a file, by the direction's kind.
ARRAYS = {VECTOR: {"vector"}, COMPONENT: {"vector", "mean", "deviation"}, CHANNELS: {"vector"}}
#: 18 rows of 512 numbers take 37 kB.
MAX_BYTES = 8 << 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e[-+]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Direction(Change):
    """A named direction in the codes of one model, or in the styles that its layers make of codes.

    Attributes:
        name: letters, digits, - and _.
        vector: [1, width] for all rows alike, or one for each row; in styles [1, channels of all layers]; float32.
        rows: which rows of the codes it moves, from the first to before the end; in styles which layers.
        strengths: from the least to the greatest that look well: advice, what is beyond is drawn all the same.
        model: identifies the checkpoints whose codes it moves (``Manifest.model``).
        mean, deviation: of GANSpace's components, the mean code [1, width] and the standard deviation [1] along the
            vector, float32; None of others.
        source: free text about where it comes from, for instance a file's name and checksum.
        in_styles: whether it moves channels of styles ("StyleSpace Analysis", Wu et al., CVPR 2021), not codes.
    """

    name: str
    vector: Codes
    rows: tuple[int, int]
    strengths: tuple[float, float]
    model: str
    mean: Codes | None = None
    deviation: Codes | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    in_styles: bool = False

    @property
    def kind(self) -> str:
        """ "vector", "channels": the strength is a factor. "component": the coordinate that the rows are moved to."""
        if self.in_styles:
            return CHANNELS
        return VECTOR if self.mean is None else COMPONENT

    def __repr__(self) -> str:
        (first, end), (low, high) = self.rows, self.strengths
        return f"Direction({self.name}, {self.kind}, rows {first}:{end}, strengths {low:g}:{high:g})"

    def delta(self, codes: Codes, strength: float) -> Codes:
        """What it adds to codes [styles, width].

        A vector v adds ``strength * v`` (InterFaceGAN, Shen et al., CVPR 2020). A component c of deviation s adds
        ``(strength - <w - m, c> / s) * s * c`` with w the first row of the codes, whichever rows are moved, and m the
        mean (GANSpace, Haerkoenen et al., NeurIPS 2020; in this form by HyperStyle's authors).
        """
        if self.in_styles:
            return np.zeros_like(codes)
        factor = float(strength)
        if self.mean is not None and self.deviation is not None:
            # In double precision: the sum's order, which every library has its own of, does not show.
            along = np.dot((codes[0] - self.mean[0]).astype(np.float64), self.vector[0].astype(np.float64))
            factor = factor * float(self.deviation[0]) - float(along)
        added = np.zeros_like(codes)
        added[slice(*self.rows)] = np.float32(factor) * self.vector
        return added

    def style_delta(self, strength: float) -> Styles | None:
        """``strength * vector`` in styles (StyleCLIP's global directions, Patashnik et al., ICCV 2021)."""
        return np.float32(strength) * self.vector[0] if self.in_styles else None

    def check(self, manifest: Manifest) -> None:
        """See that it moves the codes or the styles of a bundle, which can draw that.

        Raises:
            DirectionError: it is of another model, or of another width or number of rows.
        """
        if self.model != manifest.model:
            raise DirectionError(
                f"The direction {self.name} belongs to another model",
                got=self.model[:12],
                expected=manifest.model[:12],
                hint="If both have the same generator, import it: hyperstyle-deploy directions import.",
            )
        if self.in_styles:
            check_channels(self.name, self.vector.shape[-1], self.rows[1], manifest)
            return
        generator, (first, end) = manifest.generator, self.rows
        if self.vector.shape[-1] != generator.width or end > generator.styles:
            raise DirectionError(
                f"The direction {self.name} does not fit the codes",
                got=f"rows {first}:{end} of {self.vector.shape[-1]} numbers",
                expected=f"rows inside 0:{generator.styles} of {generator.width} numbers",
            )

    def save(self, path: "str | os.PathLike[str]") -> None:
        """Write it as a safetensors file.

        Raises:
            DirectionError: its parts do not fit each other: such a file could not be read back.
            OutputError: the folder is read-only or the disk is full.
        """
        check_parts(self, f"The direction {self.name[:80]!r}")
        parts = {"vector": self.vector, "mean": self.mean, "deviation": self.deviation}
        arrays: dict[str, NDArray[Any]] = {n: np.ascontiguousarray(a) for n, a in parts.items() if a is not None}
        metadata = {f"source.{key}": value for key, value in self.source.items()}
        metadata |= {"format": FORMAT, "version": FORMAT_VERSION, "name": self.name, "kind": self.kind}
        metadata |= {"model": self.model, "sha256": _digest(arrays)}
        metadata |= dict(zip(("first_row", "end_row"), map(str, self.rows), strict=True))
        metadata |= dict(
            zip(("least_strength", "greatest_strength"), map(repr, map(float, self.strengths)), strict=True)
        )
        with atomic_file(Path(path)) as partial:
            partial.write_bytes(stored(arrays, metadata))

    @classmethod
    def load(cls, path: "str | os.PathLike[str]") -> "Direction":
        """Read a direction.

        Raises:
            DirectionError: there is none, it is damaged, of another version, or its parts do not fit each other.
        """
        try:
            arrays, metadata = read_tensor_file(Path(path), MAX_BYTES)
        except ValueError as error:
            raise DirectionError(f"Cannot read the direction {path}", got=error) from error
        if metadata.get("format") != FORMAT or metadata.get("version") != FORMAT_VERSION:
            raise DirectionError(
                f"{path} is not a direction of this version",
                got=f"{metadata.get('format')} {metadata.get('version')}",
                expected=f"{FORMAT} {FORMAT_VERSION}",
                hint="Files of other tools are imported: hyperstyle-deploy directions import.",
            )
        kind = metadata.get("kind", "")
        if ARRAYS.get(kind) != set(arrays) or metadata.get("sha256") != _digest(arrays):
            got = f"kind {kind[:20]!r} with {', '.join(sorted(arrays))[:80] or 'nothing'}"
            raise DirectionError(f"{path} is damaged", got=got, hint="Import the direction again.")
        first, end, low, high = (
            _number(path, metadata, key) for key in ("first_row", "end_row", "least_strength", "greatest_strength")
        )
        source = {key.removeprefix("source."): value for key, value in metadata.items() if key.startswith("source.")}
        name, model = metadata.get("name", ""), metadata.get("model", "")
        mean, deviation = arrays.get("mean"), arrays.get("deviation")
        rows, strengths = (int(first), int(end)), (low, high)
        found = cls(name, arrays["vector"], rows, strengths, model, mean, deviation, source, kind == CHANNELS)
        check_parts(found, str(path))
        return found


def check_name(name: str) -> str:
    """The name, if a direction can have it.

    Raises:
        DirectionError: it has other characters than letters, digits, - and _, or too many.
    """
    if not _NAME.fullmatch(name):
        raise DirectionError(
            "No direction can have this name", got=repr(name)[:80], expected="up to 64 letters, digits, - and _"
        )
    return name


def check_parts(direction: Direction, where: str) -> None:
    """See that a direction's parts fit each other; ``where`` names it in errors.

    Raises:
        DirectionError: they do not, or there is something in it that is not finite.
    """
    check_name(direction.name)
    (first, end), (low, high) = direction.rows, direction.strengths
    if not 0 <= first < end:
        raise DirectionError(f"{where} moves no rows", got=f"{first}:{end}", expected="FIRST:END with FIRST below END")
    if not low < high or not np.isfinite((low, high)).all():
        raise DirectionError(f"{where} has no range of strengths", got=f"{low}:{high}", expected="LEAST:GREATEST")
    parts = {"vector": direction.vector, "mean": direction.mean, "deviation": direction.deviation}
    shape = direction.vector.shape
    many = shape[0] if len(shape) == 2 and direction.kind == VECTOR and shape[0] == end - first else 1
    width = shape[-1] if shape else 0
    expected = {"vector": (many, width), "mean": (1, width), "deviation": (1,)}
    for name in ARRAYS[direction.kind]:
        array = parts[name]
        if array is None or array.dtype != np.float32 or array.shape != expected[name] or array.size == 0:
            got = "none" if array is None else f"{array.dtype} {list(array.shape)}"
            raise DirectionError(f"{where}: {name} is wrong", got=got, expected=f"float32 {list(expected[name])}")
        if not np.isfinite(array).all():
            raise DirectionError(f"{where}: {name} has NaN or Inf in it", expected="finite numbers")
    if not direction.vector.any() or (direction.deviation is not None and direction.deviation[0] <= 0):
        raise DirectionError(f"{where} moves nothing", got="zeros", expected="a vector with a length")


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the arrays' bytes, by name: it shows damage."""
    digest = hashlib.sha256()
    for _, array in sorted(arrays.items()):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _number(path: "str | os.PathLike[str]", metadata: Mapping[str, str], key: str) -> float:
    text = metadata.get(key, "")
    if not _NUMBER.fullmatch(text) or (key.endswith("_row") and not text.isdecimal()):
        raise DirectionError(f"{path} has no {key}", got=repr(text)[:80], expected="a number")
    return float(text)
