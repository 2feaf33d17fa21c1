"""Directions out of files that other tools wrote, fitted to the codes of one bundle."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DirectionError
from ..bundle.files import open_plain, sha256_of
from ..bundle.tensor_files import read_tensor_file
from ..manifest.manifest import Manifest
from .direction import FORMAT, Direction, check_parts
from .style_files import style_directions

#: Far more than all components of all layers take.
MAX_BYTES = 64 << 20
#: What looks well of InterFaceGAN's directions of unit length: the authors' own factors.
STRENGTHS = (-5.0, 5.0)
#: The arrays of GANSpace's components as HyperStyle's authors keep them: [80, 1, width], [1, width] and [80].
COMPONENTS = {"comp", "mean", "std"}

# What InterFaceGAN and IDInvert call the boundaries of their generators, in the file's name or its folder's.
_OTHER_GENERATOR = re.compile(r"(stylegan|pggan)_", re.IGNORECASE)


@dataclass(frozen=True)
class Values:
    """What a file holds: arrays by name, the only one of a file without names as "", and free text by key."""

    arrays: Mapping[str, NDArray[Any]]
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """How a file is to be read: None for what the file itself says.

    ``name`` is for files of one direction, ``component`` the number of one of GANSpace's, ``rows`` those to move.
    ``in_styles`` are numbers for channels of styles, which no file says of itself.
    """

    name: str | None = None
    rows: tuple[int, int] | None = None
    strengths: tuple[float, float] | None = None
    component: int | None = None
    in_styles: bool = False


def read_values(path: Path) -> Values:
    """The array of a `.npy` file, or the arrays and the text of a safetensors file.

    Raises:
        DirectionError: it is neither, too large, damaged, or holds Python objects.
    """
    try:
        with open_plain(path) as stream:
            start = stream.read(6)
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes, where {MAX_BYTES} are possible")
        if start == b"\x93NUMPY":
            # Mapped: a header that promises more than the file holds allocates nothing.
            return Values({"": np.array(np.load(path, mmap_mode="r", allow_pickle=False))})
        return Values(*read_tensor_file(path, MAX_BYTES))
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DirectionError(
            f"Cannot read directions from {path}",
            got=getattr(error, "strerror", None) or str(error)[:200],
            expected="a .npy file of numbers, a safetensors file, or a .pt file of tensors",
        ) from error


def is_ours(path: Path) -> bool:
    """Whether it is a direction's own file, as bundles carry them."""
    try:
        return read_tensor_file(path, MAX_BYTES)[1].get("format") == FORMAT
    except ValueError:
        return False


def readopted(path: Path, manifest: Manifest, wanted: Wanted) -> Direction:
    """A direction of another bundle with the same generator, as one of this bundle.

    Raises:
        DirectionError: it cannot be read, or its codes are of another width or number of rows.
    """
    found = Direction.load(path)
    found = replace(
        found,
        model=manifest.model,
        name=wanted.name or found.name,
        strengths=wanted.strengths or found.strengths,
    )
    if wanted.rows not in (None, found.rows) or wanted.component is not None:
        raise DirectionError(f"{path} has rows of its own", got=wanted.rows, expected="no --rows and no --component")
    found.check(manifest)
    return found


def directions_from(values: Values, path: Path, manifest: Manifest, wanted: Wanted) -> list[Direction]:
    """The directions of a file for the codes of a bundle.

    Args:
        values: what is in it; a text ``strengths`` ("-2:2") says what looks well of all, ``licence`` is kept.
        path: the file, for names and for where the directions come from.
        manifest: the bundle's.
        wanted: how to read it.

    Raises:
        DirectionError: they are of another generator, or do not fit the codes.
    """
    _refuse_other_generators(path, manifest)
    arrays, strengths = values.arrays, wanted.strengths or _strengths(values, path)
    source = {"file": path.name, "sha256": sha256_of(path)}
    source |= {key: text for key, text in values.text.items() if key == "licence"}
    if wanted.in_styles:
        if wanted.rows is not None or wanted.component is not None:
            raise DirectionError(f"{path} is to move styles", got="--rows or --component", expected="neither")
        return style_directions(arrays, path, manifest, wanted.name, strengths, source)
    if set(arrays) == COMPONENTS:
        return [_component(arrays, path, manifest, replace(wanted, strengths=strengths), source)]
    if wanted.component is not None:
        raise DirectionError(f"{path} holds no components", got=_told(arrays), expected=", ".join(sorted(COMPONENTS)))
    if wanted.name is not None and len(arrays) != 1:
        raise DirectionError(f"{path} holds several directions", got=_told(arrays), hint="Leave --name out.")
    if not arrays:
        raise DirectionError(f"{path} holds no directions", got="no arrays")
    found = []
    for key, array in arrays.items():
        vector, rows = _vector(array, f"{path}: {key or 'the array'}", manifest, wanted.rows)
        name = wanted.name or key or path.stem
        found.append(Direction(name, vector, rows, strengths, manifest.model, source=source))
    for direction in found:
        check_parts(direction, f"{path}: {direction.name}")
    return found


def _strengths(values: Values, path: Path) -> tuple[float, float]:
    """What a file's own text says, else the usual."""
    text = values.text.get("strengths")
    if text is None:
        return STRENGTHS
    try:
        low, high = map(float, text.split(":"))
    except ValueError as error:
        raise DirectionError(
            f"{path} has unusable strengths", got=repr(text)[:80], expected="LEAST:GREATEST"
        ) from error
    return low, high


def _refuse_other_generators(path: Path, manifest: Manifest) -> None:
    for part in (path.name, path.absolute().parent.name):
        if _OTHER_GENERATOR.match(part) and manifest.generator.family == "stylegan2":
            raise DirectionError(
                f"{path} is of another generator",
                got=f"{part}, as boundaries of StyleGAN1 and PGGAN are called",
                expected="a direction in the codes of this StyleGAN2",
                hint="The spaces of two generators have nothing in common. If it is of yours, give it another name.",
            )


def _vector(
    array: NDArray[Any], where: str, manifest: Manifest, rows: tuple[int, int] | None
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """[width], [1, width], [n, width] or [1, n, width] as a vector for all rows or for each, and the rows it moves."""
    generator = manifest.generator
    squeezed = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    vector = squeezed[None] if squeezed.ndim == 1 else squeezed
    fits = vector.ndim == 2 and vector.shape[-1] == generator.width and vector.dtype.kind == "f" and len(vector)
    if not fits:
        expected = f"floats [1, {generator.width}] or [{generator.styles}, {generator.width}]"
        raise DirectionError(f"{where} is no direction in these codes", got=_shape(array), expected=expected)
    if not np.isfinite(vector).all():  # before rows are compared: NaN is not even itself
        raise DirectionError(f"{where} has NaN or Inf in it", expected="finite numbers")
    chosen = _checked_rows(rows or (0, generator.styles), manifest)
    if (vector == vector[0]).all():
        # The authors' pose has 18 equal rows, which fit generators of every size.
        vector = vector[:1]
    elif len(vector) != generator.styles:
        raise DirectionError(
            f"{where} has a row of its own for every style", got=f"{len(vector)} rows", expected=generator.styles
        )
    else:
        vector = vector[slice(*chosen)]
    with np.errstate(over="ignore"):  # what is infinite then is refused
        return np.ascontiguousarray(vector, np.float32), chosen


def _component(
    values: Mapping[str, NDArray[Any]], path: Path, manifest: Manifest, wanted: Wanted, source: dict[str, str]
) -> Direction:
    width = manifest.generator.width
    component, mean, deviation = (np.asarray(values[name]) for name in ("comp", "mean", "std"))
    count = len(deviation) if deviation.ndim == 1 else 0
    if component.size != count * width or mean.size != width or not count:
        raise DirectionError(
            f"{path} holds no components of these codes",
            got=_told(values),
            expected=f"comp [N, 1, {width}], mean [1, {width}], std [N]",
        )
    if wanted.component is None or wanted.name is None or wanted.rows is None:
        raise DirectionError(
            f"{path} holds components, of which one at a time is imported",
            got="no number" if wanted.component is None else "no name or rows",
            expected="--component, --rows and --name",
            hint="For instance: --component 22 --rows 9:11 --name colour",
        )
    if not 0 <= wanted.component < count:
        raise DirectionError(f"{path} has no such component", got=wanted.component, expected=f"0 to {count - 1}")
    direction = Direction(
        wanted.name,
        component.reshape(count, 1, width)[wanted.component].astype(np.float32),
        _checked_rows(wanted.rows, manifest),
        wanted.strengths or STRENGTHS,
        manifest.model,
        mean.reshape(1, width).astype(np.float32),
        deviation[wanted.component : wanted.component + 1].astype(np.float32),
        {**source, "component": str(wanted.component)},
    )
    check_parts(direction, f"{path}: component {wanted.component}")
    return direction


def _checked_rows(rows: tuple[int, int], manifest: Manifest) -> tuple[int, int]:
    styles = manifest.generator.styles
    if not 0 <= rows[0] < rows[1] <= styles:
        raise DirectionError(
            "The rows are not those of the codes", got=f"{rows[0]}:{rows[1]}", expected=f"FIRST:END inside 0:{styles}"
        )
    return rows


def _shape(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _told(values: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name or 'an array'} {_shape(array)}" for name, array in values.items())[:200]
