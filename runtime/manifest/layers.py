"""The generator's layer table: index, name, channels and how each convolution is offset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: How a layer's weights are offset: not at all, by one number per (out, in) tiled over the taps, or by whole kernels.
OFFSETS = ("none", "channel", "full")
#: Height and width of the generator's constant input.
FIRST_RESOLUTION = 4


@dataclass(frozen=True)
class Layer:
    """One convolution of the generator that a code modulates.

    Of StyleGAN2 ``index`` counts as HyperStyle does: 0 the first 3x3 convolution, 1 the first toRGB, then
    up-convolution, convolution and toRGB per resolution. ``style`` is the row of W+ that modulates it, ``resolution``
    its output's, ``offset`` one of ``OFFSETS``.
    """

    index: int
    name: str
    in_channels: int
    out_channels: int
    kernel: int
    resolution: int
    style: int
    up: bool
    offset: str

    @property
    def tuned(self) -> bool:
        """Whether offsets are predicted for this layer."""
        return self.offset != "none"

    @property
    def demodulated(self) -> bool:
        """Every convolution but toRGB is; StyleGAN1 normalises what comes out instead. Each has a noise."""
        return self.kernel == 3

    @property
    def input_resolution(self) -> int:
        """Height and width of the layer's input."""
        return self.resolution // 2 if self.up else self.resolution

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """[out, in, k, k]."""
        return (self.out_channels, self.in_channels, self.kernel, self.kernel)

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """The weight as its convolution takes it: [in, out, k, k] where it is transposed."""
        out, fan_in, height, width = self.weight_shape
        return (fan_in, out, height, width) if self.up else self.weight_shape

    @property
    def offset_shape(self) -> tuple[int, ...]:
        """[out, in], or [out, in, k, k] of a whole kernel."""
        return self.weight_shape[:2] if self.offset == "channel" else self.weight_shape


def layer_table(channels: Sequence[int], offsets: Mapping[int, str] | None = None) -> tuple[Layer, ...]:
    """The convolutions of StyleGAN2's generator, in HyperStyle's order.

    Args:
        channels: of the features at each resolution, from 4x4 up; the last one is the image's size.
        offsets: layer index to its kind, "none" where there is no entry; those past the table are ignored, as the
            authors' code ignores them.
    """
    offsets = offsets or {}

    def layer(name: str, fan_in: int, out: int, kernel: int, resolution: int, style: int, up: bool = False) -> None:
        index = len(table)
        table.append(Layer(index, name, fan_in, out, kernel, resolution, style, up, offsets.get(index, "none")))

    table: list[Layer] = []
    layer("conv1", channels[0], channels[0], 3, FIRST_RESOLUTION, 0)
    layer("to_rgb1", channels[0], 3, 1, FIRST_RESOLUTION, 1)
    for level, (below, here) in enumerate(pairwise(channels)):
        resolution, style = FIRST_RESOLUTION << (level + 1), 2 * level + 1
        layer(f"convs.{2 * level}", below, here, 3, resolution, style, up=True)
        layer(f"convs.{2 * level + 1}", here, here, 3, resolution, style + 1)
        layer(f"to_rgbs.{level}", here, 3, 1, resolution, style + 2)
    return tuple(table)


def stylegan1_layers(channels: Sequence[int]) -> tuple[Layer, ...]:
    """The convolutions of StyleGAN1's generator that codes modulate, by their published names.

    There are no toRGB layers among them, since the last one, which alone is used, has no style. Row 0 of the codes
    modulates the constant input.

    Args:
        channels: of the features at each resolution, from 4x4 up.
    """
    table: list[Layer] = []
    for level, here in enumerate(channels):
        halves = ((channels[level - 1], True), (here, False)) if level else ((here, False),)
        for fan_in, up in halves:
            style = len(table) + 1
            resolution = FIRST_RESOLUTION << level
            table.append(Layer(style - 1, f"layer{style}", fan_in, here, 3, resolution, style, up, "none"))
    return tuple(table)
