"""Read the widths of the published networks off a checkpoint's tensors: names and shapes say all there is to know."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isqrt

from torch import Tensor

from ..runtime.manifest.layers import FIRST_RESOLUTION, Layer
from .networks.encoders import FINE, LEVELS, MIDDLE, EncoderShape
from .networks.hypernetwork import BlockShape, HypernetShape
from .networks.stylegan2 import GeneratorShape, published_channels
from .networks.trunk import PUBLISHED_TRUNKS, TrunkShape, UnitShape, unit_shape

#: Wider networks than that are not taken for ones.
_LARGEST = 1 << 14
#: Of a generator whose file says nothing of its size: the authors' default.
_DEFAULT_SIZE = 1024


class Widths:
    """Sizes of the tensors below a prefix.

    A width is what most of the tensors that have it say: so a tensor that is missing or misshapen is found out by the
    others, and named when the network of these widths is compared with the file.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def width(self, places: Iterable[tuple[str, int]], default: int) -> int:
        """The size that most places (tensor, axis) have, that of the first ones in a tie."""
        shapes = ((self._shapes.get(name, ()), axis) for name, axis in places)
        sizes = [shape[axis] for shape, axis in shapes if axis < len(shape) and 0 not in shape]
        votes = Counter(size for size in sizes if size <= _LARGEST)
        return votes.most_common(1)[0][0] if votes else default

    def indices(self, prefix: str) -> set[int]:
        """The numbers that follow ``prefix``, a module list's name and a dot."""
        pattern = re.compile(re.escape(prefix) + r"(\d{1,9})\.")
        return {int(match[1]) for name in self._shapes if (match := pattern.match(name))}

    def has(self, prefix: str) -> bool:
        """Whether any tensor's name starts so."""
        return any(name.startswith(prefix) for name in self._shapes)


def generator_shape(tensors: Mapping[str, Tensor], size: int | None) -> GeneratorShape:
    """A generator's widths; ``size`` is what the options say, None for what the tensors do."""
    widths = Widths(tensors)
    levels = len(widths.indices("to_rgbs."))
    if size is None:
        size = FIRST_RESOLUTION << levels if 0 < levels <= 10 else _DEFAULT_SIZE
    channels = []
    for level, usual in enumerate(published_channels(size)):
        convs = [f"convs.{2 * level - 2}", f"convs.{2 * level - 1}"] if level else ["conv1"]
        to_rgb = f"to_rgbs.{level - 1}" if level else "to_rgb1"
        places = [(f"{conv}.activate.bias", 0) for conv in convs]
        places += [(f"{to_rgb}.conv.weight", 2), (f"{convs[-1]}.conv.weight", 1)]
        channels.append(widths.width(places, usual))
    levels = len(channels) - 1
    modulated = ["conv1", "to_rgb1", *(f"convs.{i}" for i in range(2 * levels))]
    blurs = [(f"convs.{2 * i}.conv.blur.kernel", 0) for i in range(levels)]
    blurs += [(f"to_rgbs.{i}.upsample.kernel", 0) for i in range(levels)]
    taps = widths.width(blurs, 4)
    return GeneratorShape(
        channels=tuple(channels),
        width=widths.width([(f"{name}.conv.modulation.weight", 1) for name in modulated], 512),
        mapping=len(widths.indices("style.")) or 8,
        taps=taps if taps % 2 == 0 else 4,
    )


def trunk_shape(tensors: Mapping[str, Tensor], kind: str, input_channels: int | None) -> TrunkShape:
    """A trunk's widths; ``input_channels`` are what its method gives it, None for what its first convolution takes."""
    widths = Widths(tensors)
    first = ("conv1", "bn1", "relu") if kind == "resnet" else ("input_layer.0", "input_layer.1", "input_layer.2")
    stem = before = widths.width([(f"{name}.weight", 0) for name in first], 64)
    units: list[UnitShape] = []
    attentive = any(widths.has(f"body.{i}.res_layer.5.") for i in widths.indices("body."))
    for i in range(len(widths.indices("body."))):
        if kind == "resnet":
            shortcut, named = "downsample.", ["conv1.weight", "bn1.weight", "conv2.weight", "bn2.weight"]
        else:
            shortcut, named = "shortcut_layer.", [f"res_layer.{layer}.weight" for layer in (1, 2, 3, 4)]
        channels = widths.width([(f"body.{i}.{name}", 0) for name in named], before)
        places = [(f"body.{i}.res_layer.5.fc1.weight", 0), (f"body.{i}.res_layer.5.fc2.weight", 1)]
        squeeze = widths.width(places, max(1, channels // 16)) if attentive else 0
        units.append(unit_shape(kind, i == 0, (before, channels), widths.has(f"body.{i}.{shortcut}"), squeeze))
        before = channels
    if input_channels is None:
        input_channels = widths.width([(f"{first[0]}.weight", 1)], PUBLISHED_TRUNKS[kind].input_channels)
    return TrunkShape(kind, input_channels, stem, tuple(units) or PUBLISHED_TRUNKS[kind].units)


def encoder_shape(
    tensors: Mapping[str, Tensor], head: str, trunk: TrunkShape, rows: int, width: int, progressive: bool
) -> EncoderShape:
    """The widths of an encoder with this head, for a generator of ``rows`` styles of ``width`` numbers."""
    widths = Widths(tensors)
    if head == "flattened":
        flat = tensors.get("output_layer_2.3.weight")
        pixels = flat.shape[1] // trunk.width if flat is not None and flat.dim() == 2 else 0
        return EncoderShape(head, trunk, rows, width, pool=min(max(isqrt(pixels), 1), 64))
    if head == "pooled":
        return EncoderShape(head, trunk, rows, width)
    pyramid = head == "pyramid"
    if pyramid and len(trunk.ends) < LEVELS:
        trunk = replace(trunk, units=PUBLISHED_TRUNKS[trunk.kind].units)
    counts = Counter(
        len(widths.indices(f"styles.{row}.convs.")) - pyramid * ((row >= MIDDLE) + (row >= FINE)) for row in range(rows)
    )
    convs = max(counts.most_common(1)[0][0], 1)
    return EncoderShape(head, trunk, rows, width, progressive, convs=convs)


def hypernet_shape(
    tensors: Mapping[str, Tensor], layers: Sequence[Layer], tuned: Collection[int]
) -> tuple[HypernetShape, list[str]]:
    """The widths of a hypernetwork for ``tuned`` layers of the generator, and what is wrong with its blocks."""
    widths = Widths(tensors)
    trunk = trunk_shape(tensors, "resnet", 6)
    blocks, problems = [], []
    codes = [("shared_weight_hypernet.w2", 0)]
    for index in sorted(tuned):
        prefix = f"refinement_blocks.{index}."
        convs = len(widths.indices(f"{prefix}convs."))
        if not convs:
            problems.append(f"missing every tensor of hypernet.{prefix}convs")
            continue
        kind, pooled = _block_kind(widths, prefix)
        places = [(f"{prefix}convs.0.bias", 0), (f"{prefix}convs.0.weight", 0), (f"{prefix}convs.2.weight", 1)]
        inner = widths.width(places, 256)
        blocks.append(BlockShape(index, kind, inner, convs, pooled))
        codes.append((f"{prefix}convs.{2 * convs - 2}.bias", 0))
    shared = [layers[block.layer] for block in blocks if block.kind == "shared"]
    hidden = widths.width([("shared_weight_hypernet.w1", 0)], 512)
    channels = Counter(layer.in_channels for layer in shared).most_common(1)[0][0] if shared else 0
    for layer in shared:
        if layer.weight_shape != (channels, channels, 3, 3):
            problems.append(
                f"misplaced hypernet.refinement_blocks.{layer.index}: the shared hypernetwork gives "
                f"{[channels, channels, 3, 3]}, the layer has {list(layer.weight_shape)}"
            )
    if not shared and widths.has("shared_weight_hypernet."):
        channels = widths.width([("shared_weight_hypernet.b1", 0)], 9 * 512) // 9  # there, and used by no layer
    shape = HypernetShape(trunk, widths.width(codes, 512), tuple(blocks), hidden if channels else 0, channels)
    return shape, problems


def _block_kind(widths: Widths, prefix: str) -> tuple[str, bool]:
    """A refinement block's kind, and whether it pools."""
    if widths.has(f"{prefix}linear.") or widths.has(f"{prefix}hypernet."):
        return "shared", False
    if any(widths.has(f"{prefix}output.0.{name}_") for name in ("make_kernel", "kernel_linear")):
        return "separable", False
    return "channel", widths.has(f"{prefix}output.1.")
