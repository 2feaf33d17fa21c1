"""The generator's layer table: index, name, channels and how HyperStyle offsets each convolution."""

from collections.abc import Collection
from dataclasses import dataclass

SIZES = (256, 512, 1024)

#: Layers that go through HyperStyle's shared hypernetwork: every 3x3 convolution with 512 channels on both sides.
SHARED_LAYERS = frozenset({0, 2, 3, 5, 6, 8, 9, 11, 12})


@dataclass(frozen=True)
class Layer:
    """One convolution of the StyleGAN2 generator.

    ``index`` counts as HyperStyle does: 0 the first 3x3 convolution, 1 the first toRGB, then up-convolution,
    convolution and toRGB per resolution. ``style`` is the row of W+ that modulates it, ``resolution`` its output's.
    ``offset`` is "none" (not tuned), "shared" (full kernel from the shared hypernetwork), "channel" (one value per
    (out, in), tiled over the kernel) or "separable" (bilinear in the offset code).
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
        """Whether the hypernetwork predicts an offset for this layer."""
        return self.offset != "none"

    @property
    def demodulated(self) -> bool:
        """Every convolution but toRGB is demodulated."""
        return self.kernel == 3

    @property
    def input_resolution(self) -> int:
        """Height and width of the layer's input."""
        return self.resolution // 2 if self.up else self.resolution

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """[out, in, k, k]."""
        return (self.out_channels, self.in_channels, self.kernel, self.kernel)


def channels_at(resolution: int) -> int:
    """Feature channels of StyleGAN2 (channel multiplier 2) at ``resolution`` = 4 ... 1024."""
    return min(512, 32768 // resolution)


def style_count(size: int) -> int:
    """Rows of W+ for an image ``size``: 18, 16, 14 for 1024, 512, 256."""
    return 2 * (size.bit_length() - 1) - 2


def layer_count(size: int) -> int:
    """Convolutions of the generator, toRGB included: 26, 23, 20 for 1024, 512, 256."""
    return 3 * (size.bit_length() - 3) + 2


def layer_table(size: int, tuned: Collection[int] = (), separable: bool = False) -> tuple[Layer, ...]:
    """The convolutions of the generator of ``size``, in HyperStyle's order.

    ``tuned`` holds layer indices; those past the table are ignored, as the authors' code ignores them.
    """

    def offset(index: int, kernel: int) -> str:
        if index not in tuned:
            return "none"
        if index in SHARED_LAYERS:
            return "shared"
        return "separable" if separable and kernel == 3 else "channel"

    table = [
        Layer(0, "conv1", 512, 512, 3, 4, 0, False, offset(0, 3)),
        Layer(1, "to_rgb1", 512, 3, 1, 4, 1, False, offset(1, 1)),
    ]
    for level in range(size.bit_length() - 3):
        resolution = 8 << level
        below, here, index, style = channels_at(resolution // 2), channels_at(resolution), 3 * level + 2, 2 * level + 1
        table += [
            Layer(index, f"convs.{2 * level}", below, here, 3, resolution, style, True, offset(index, 3)),
            Layer(
                index + 1, f"convs.{2 * level + 1}", here, here, 3, resolution, style + 1, False, offset(index + 1, 3)
            ),
            Layer(index + 2, f"to_rgbs.{level}", here, 3, 1, resolution, style + 2, False, offset(index + 2, 1)),
        ]
    return tuple(table)
