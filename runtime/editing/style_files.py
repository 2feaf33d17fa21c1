"""Directions in styles: out of the arrays of a file, or out of single channels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DirectionError
from ..manifest.manifest import GeneratorSpec, Manifest
from .channels import laid_out, moved_layers, spans
from .direction import Direction, check_parts


def style_directions(
    arrays: Mapping[str, NDArray[Any]],
    path: Path,
    manifest: Manifest,
    name: str | None,
    strengths: tuple[float, float],
    source: Mapping[str, str],
) -> list[Direction]:
    """The directions in styles of a file: one whose arrays are called as the layers, or one an array.

    Args:
        arrays: of numbers, for each layer named its channels; else for all layers, or for the first 3x3 convolutions.
        path: the file, for names.
        manifest: the bundle's.
        name: of a single direction; the array's or the file's if it is None.
        strengths: what looks well.
        source: where they come from.

    Raises:
        DirectionError: they do not fit the styles.
    """
    generator = manifest.generator
    if arrays and set(arrays) <= set(spans(generator)):
        found = {path.stem: _by_layer(arrays, path, generator)}
    else:
        where = {key: f"{path}: {key or 'the array'}" for key in arrays}
        found = {key or path.stem: _of_layers(array, where[key], generator) for key, array in arrays.items()}
    if name is not None and len(found) != 1:
        raise DirectionError(f"{path} holds several directions", got=", ".join(found)[:200], hint="Leave --name out.")
    directions = [style_direction(name or key, vector, manifest, strengths, source) for key, vector in found.items()]
    for direction in directions:
        check_parts(direction, f"{path}: {direction.name}")
    return directions


def style_direction(
    name: str,
    vector: NDArray[np.float32],
    manifest: Manifest,
    strengths: tuple[float, float],
    source: Mapping[str, str],
) -> Direction:
    """A direction that moves channels of styles, [1, channels of all layers]."""
    rows = moved_layers(vector, manifest.generator)
    return Direction(name, vector, rows, strengths, manifest.model, source=source, in_styles=True)


def _by_layer(arrays: Mapping[str, NDArray[Any]], path: Path, generator: GeneratorSpec) -> NDArray[np.float32]:
    whole, places = np.zeros((1, generator.channels), np.float32), spans(generator)
    for name, array in arrays.items():
        channels = places[name].stop - places[name].start
        if array.size != channels or array.dtype.kind != "f":
            got, expected = f"{array.dtype} {list(array.shape)}", f"floats [{channels}]"
            raise DirectionError(f"{path}: {name} is not that layer's style", got=got, expected=expected)
        whole[0, places[name]] = array.reshape(-1)
    return whole


def _of_layers(array: NDArray[Any], where: str, generator: GeneratorSpec) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is infinite then is refused
        vector = laid_out(array.astype(np.float32), generator) if array.dtype.kind == "f" else None
    if vector is None:
        raise DirectionError(
            f"{where} is no direction in these styles",
            got=f"{array.dtype} {list(array.shape)}",
            expected=f"floats [{generator.channels}], or for the first 3x3 convolutions, in their order",
        )
    return vector
