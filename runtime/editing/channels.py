"""StyleSpace: what can be moved of the styles that a generator's layers make of codes, and which graph draws it."""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from ...errors import DirectionError
from ..manifest.layers import Layer
from ..manifest.manifest import GeneratorSpec, Manifest
from ..methods.base import STYLED, Method

#: One channel of one layer's style, as users write it: `convs.3:17`.
_CHANNEL = re.compile(r"([A-Za-z0-9_.]{1,64}):(\d{1,6})", re.ASCII)


def spans(generator: GeneratorSpec) -> dict[str, slice]:
    """Where each layer's channels are among those of all, by its name."""
    ends = accumulate((layer.in_channels for layer in generator.layers), initial=0)
    return {layer.name: slice(*span) for layer, span in zip(generator.layers, pairwise(ends), strict=True)}


def vector_of(weights: Mapping[str, float], generator: GeneratorSpec) -> NDArray[np.float32]:
    """Single channels with their weights ({"convs.3:17": 1.0}) as a vector [1, channels of all layers].

    Raises:
        DirectionError: there is no such layer or channel.
    """
    places, vector = spans(generator), np.zeros((1, generator.channels), np.float32)
    for text, weight in weights.items():
        found = _CHANNEL.fullmatch(text)
        place = places.get(found[1]) if found else None
        if found is None or place is None or not int(found[2]) < place.stop - place.start:
            raise DirectionError(
                "The generator has no such channel",
                got=text[:80],
                expected=f"LAYER:CHANNEL, of the layers {_told(generator.layers)}",
            )
        vector[0, place.start + int(found[2])] = weight
    return vector


def laid_out(array: NDArray[np.float32], generator: GeneratorSpec) -> NDArray[np.float32] | None:
    """Numbers [n] of StyleSpace's channels as those of all layers [1, channels], or None if there are not so many.

    They are of all layers in order, or of the 3x3 convolutions without toRGB, the first so many of them, as StyleCLIP's
    global directions have them.
    """
    if array.size == generator.channels:
        return array.reshape(1, -1)
    convolutions = [layer for layer in generator.layers if layer.demodulated]
    ends = [0, *accumulate(layer.in_channels for layer in convolutions)]
    if array.size not in ends[1:]:
        return None
    places, vector = spans(generator), np.zeros((1, generator.channels), np.float32)
    for layer, (first, end) in zip(convolutions[: ends.index(array.size)], pairwise(ends), strict=False):
        vector[0, places[layer.name]] = array.reshape(-1)[first:end]
    return vector


def moved_layers(vector: NDArray[np.float32], generator: GeneratorSpec) -> tuple[int, int]:
    """From the first layer to before the end of those whose styles a vector moves; none is (0, 0)."""
    moved = [index for index, place in enumerate(spans(generator).values()) if vector[0, place].any()]
    return (moved[0], moved[-1] + 1) if moved else (0, 0)


def check_channels(name: str, channels: int, end: int, manifest: Manifest) -> None:
    """See that a direction in styles fits a bundle, and that the bundle can draw it.

    Raises:
        DirectionError: it does not, or the bundle has no graph that takes styles.
    """
    generator = manifest.generator
    if channels != generator.channels or end > len(generator.layers):
        raise DirectionError(
            f"The direction {name} does not fit the styles",
            got=f"{channels} channels, up to layer {end - 1}",
            expected=f"{generator.channels} channels of {len(generator.layers)} layers",
        )
    if STYLED not in manifest.graphs:
        raise _no_graph(f"The direction {name} moves channels of styles, and")


def styled_graph(manifest: Manifest, method: Method) -> str:
    """The graph that draws with what is added to styles.

    Raises:
        DirectionError: the bundle has none, or the method's generators are not drawn so.
    """
    if method.styled is None:
        raise DirectionError(f"{method.name} cannot move channels of styles", hint="Directions in codes can be used.")
    if method.styled not in manifest.graphs:
        raise _no_graph("Channels of styles are to be moved, and")
    return method.styled


def _told(layers: Iterable[Layer]) -> str:
    """Layers with their channels, in words."""
    return ", ".join(f"{layer.name} ({layer.in_channels})" for layer in layers)


def _no_graph(what: str) -> DirectionError:
    return DirectionError(
        f"{what} the bundle has no graph that takes them",
        expected=f"a graph {STYLED}",
        hint="Export the checkpoint again with --styles.",
    )
