"""The bytes that the modulation must move, and the time below which no device can do it."""

from collections.abc import Iterable
from typing import Protocol

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


class LayerShape(Protocol):
    """What the kernel has to know of a convolution: ``runtime.layers.Layer`` is one."""

    @property
    def name(self) -> str:
        """The layer's name, for messages."""

    @property
    def out_channels(self) -> int:
        """Output channels."""

    @property
    def in_channels(self) -> int:
        """Input channels."""

    @property
    def kernel(self) -> int:
        """k of the k x k kernel."""

    @property
    def up(self) -> bool:
        """Whether weights and energies are [in, out, ...]."""

    @property
    def offset(self) -> str:
        """ "none", "channel" for [out, in], anything else for [out, in, k, k]."""

    @property
    def demodulated(self) -> bool:
        """Whether energies are wanted."""


def bytes_moved(layers: Iterable[LayerShape], dtype: str, offset_dtype: str | None = None) -> int:
    """Bytes that one launch for ``layers`` reads and writes: every input once, every output once.

    Base and weight are of ``dtype``, offsets of ``offset_dtype`` (the same unless given), energies float32.
    """
    total = 0
    for layer in layers:
        pairs = layer.out_channels * layer.in_channels
        elements = pairs * layer.kernel**2
        offsets = {"none": 0, "channel": pairs}.get(layer.offset, elements)
        total += 2 * elements * BYTES[dtype] + offsets * BYTES[offset_dtype or dtype]
        total += pairs * BYTES["float32"] if layer.demodulated else 0
    return total


def floor_us(moved: int, bandwidth: float) -> float:
    """Microseconds that ``moved`` bytes take at ``bandwidth`` bytes per second: computed, not measured."""
    return moved / bandwidth * 1e6
