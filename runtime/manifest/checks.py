"""What must be true of a manifest beyond the types of its fields, whatever its method."""

import re
from typing import TYPE_CHECKING

from ...errors import BundleError
from .layers import FIRST_RESOLUTION, OFFSETS, Layer

if TYPE_CHECKING:
    from .manifest import ImageSpec, Manifest

NARROW = ("float16", "bfloat16")
DTYPES = ("float32", *NARROW, "int64")
#: What the large tensors of a bundle's graphs are: activations, weights and offsets.
PRECISIONS = ("float32", *NARROW)
#: What an encoder may look at -> how many channels: a photo, a drawing in grey, or label maps, one-hot.
KINDS = {"photo": range(3, 4), "sketch": range(1, 2), "labels": range(2, 257)}
#: The range of their values, as the encoder takes them.
VALUES = {"photo": (-1.0, 1.0), "sketch": (0.0, 1.0), "labels": (0.0, 1.0)}
#: Sides of what goes in, and of the square that is drawn.
SIDES = range(32, 1025)
#: How many refinement steps a loop may take.
MAX_STEPS = 1000
FAMILIES = ("stylegan2", "stylegan1")

_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
#: What a further generator may be called; it stands in names of graphs, constants and inversions' methods.
_GENERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_HEX = frozenset("0123456789abcdef")


def wrong(where: str, got: object, expected: object) -> BundleError:
    """The error of a field."""
    place = where.removeprefix("bundle.json.")
    what = "bundle.json is wrong" if place == "bundle.json" else f"bundle.json: {place} is wrong"
    return BundleError(what, got=got, expected=expected)


def is_sha256(text: str) -> bool:
    """Whether it is a SHA-256 in 64 hexadecimal digits."""
    return len(text) == 64 and set(text) <= _HEX


def check_image(manifest: "Manifest") -> None:
    """See that sizes, channels and rows are possible.

    Raises:
        BundleError: one is not.
    """
    image, size = manifest.image, manifest.generator.size
    if manifest.precision not in PRECISIONS:
        raise wrong("precision", manifest.precision[:80], f"one of {PRECISIONS}")
    if size not in SIDES or size & (size - 1):
        raise wrong("generator.size", size, f"a power of two, {SIDES.start} to {SIDES.stop - 1}")
    if image.kind not in KINDS:
        raise wrong("image.kind", image.kind[:80], f"one of {tuple(KINDS)}")
    channels = KINDS[image.kind]
    if image.channels not in channels:
        raise wrong("image.channels", image.channels, f"{channels.start} to {channels.stop - 1} for {image.kind}")
    _check_sides(image)
    if not 0 <= image.rows[0] < image.rows[1] <= size:
        raise wrong("image.rows", list(image.rows), f"rows inside 0 to {size}")
    for name in ("default_steps", "encoder_steps"):
        if not 0 <= getattr(manifest.method, name) <= MAX_STEPS:
            raise wrong(f"method.{name}", getattr(manifest.method, name), f"0 to {MAX_STEPS}")


def _check_sides(image: "ImageSpec") -> None:
    for name in ("input_height", "input_width"):
        side = getattr(image, name)
        if side not in SIDES:
            raise wrong(f"image.{name}", side, f"{SIDES.start} to {SIDES.stop - 1}")


def check_generator(manifest: "Manifest") -> None:
    """See that the layers follow from each other: what one writes is what the next one reads.

    Raises:
        BundleError: they do not.
    """
    generator = manifest.generator
    if generator.family not in FAMILIES:
        raise wrong("generator.family", generator.family[:80], " or ".join(FAMILIES))
    for name in ("styles", "width"):
        if not 1 <= getattr(generator, name) <= 1 << 14:
            raise wrong(f"generator.{name}", getattr(generator, name), f"1 to {1 << 14}")
    names = [layer.name for layer in generator.layers]
    if not names or len(set(names)) != len(names):
        raise wrong("generator.layers", f"{len(names)} layers, {len(set(names))} names", "a name for each")
    features: Layer | None = None
    for index, layer in enumerate(generator.layers):
        if problem := _problem(layer, index, features, generator.styles):
            raise wrong(f"generator.layers[{index}]", *problem)
        features = layer if layer.demodulated else features
    if generator.layers[-1].resolution != generator.size:
        raise wrong("generator.layers", f"a last resolution of {generator.layers[-1].resolution}", generator.size)


def is_generator_name(name: str) -> bool:
    """Whether a further generator of a bundle may be called so: up to 32 letters, digits, - and _."""
    return _GENERATOR.fullmatch(name) is not None


def check_generators(manifest: "Manifest") -> None:
    """See that each further generator has a name of its own, and takes offsets that there are.

    Raises:
        BundleError: one has not.
    """
    tuned = [layer.index for layer in manifest.tuned]
    for row, spec in enumerate(manifest.generators):
        where = f"generators[{row}]"
        if not is_generator_name(spec.name) or spec.name in [other.name for other in manifest.generators[:row]]:
            raise wrong(f"{where}.name", spec.name[:80], "a name of its own: up to 32 letters, digits, - and _")
        if list(spec.offsets) != [index for index in tuned if index in spec.offsets]:
            raise wrong(f"{where}.offsets", list(spec.offsets)[:40], f"of {tuned}, in order")
        if spec.encoder_steps is not None and not 0 <= spec.encoder_steps <= MAX_STEPS:
            raise wrong(f"{where}.encoder_steps", spec.encoder_steps, f"0 to {MAX_STEPS}, or null")


def _problem(layer: Layer, index: int, features: Layer | None, styles: int) -> tuple[object, object] | None:
    """What is wrong with a layer that reads ``features``, as got and expected; None of the first layer."""
    if layer.index != index:
        return f"index {layer.index}", index
    if not _NAME.fullmatch(layer.name):
        return f"name {layer.name[:80]!r}", "letters, digits, _ and ."
    if layer.offset not in OFFSETS:
        return f"offset {layer.offset[:80]!r}", f"one of {OFFSETS}"
    if not 0 <= layer.style < styles:
        return f"style {layer.style}", f"0 to {styles - 1}"
    if layer.kernel not in (1, 3) or (layer.kernel == 1 and (layer.up or features is None)):
        return f"kernel {layer.kernel}", "3, or 1 of a toRGB layer behind a convolution"
    return _unchained(layer, features)


def _unchained(layer: Layer, features: Layer | None) -> tuple[object, object] | None:
    """How sizes do not follow from the layer before."""
    resolution = FIRST_RESOLUTION if features is None else features.resolution * (2 if layer.up else 1)
    if layer.resolution != resolution or (features is None and layer.up):
        return f"resolution {layer.resolution}", resolution
    fan_in = layer.in_channels if features is None else features.out_channels
    out = layer.out_channels if layer.kernel == 3 else 3
    shape = layer.in_channels, layer.out_channels
    # The channels of the constant and of each convolution are free, within what a checkpoint could hold.
    if shape != (fan_in, out) or not all(1 <= channels <= 1 << 14 for channels in shape):
        return f"{shape[0]} to {shape[1]} channels", f"{fan_in} to {out}, 1 to {1 << 14}"
    return None


def check_graphs(manifest: "Manifest") -> None:
    """See that files are listed, checksums written out, and tensors of known types.

    Raises:
        BundleError: one is not.
    """
    needed = {graph.file for graph in manifest.graphs.values()} | set(manifest.constants)
    if unlisted := sorted(needed - set(manifest.files)):
        raise wrong("files", f"no entry for {', '.join(unlisted)}", "every graph and constants file")
    for name, file in manifest.files.items():
        if file.bytes < 0 or not is_sha256(file.sha256):
            raise wrong(f"files[{name}]", file, "bytes and 64 hexadecimal digits")
    if not manifest.checkpoints:
        raise wrong("checkpoints", "none", "what the bundle was exported from")
    for row, checkpoint in enumerate(manifest.checkpoints):
        if not is_sha256(checkpoint.sha256):
            raise wrong(f"checkpoints[{row}].sha256", checkpoint.sha256[:80], "64 hexadecimal digits")
    for graph in manifest.graphs.values():
        for tensor in (*graph.inputs, *graph.outputs):
            if tensor.dtype not in DTYPES:
                raise wrong(f"{graph.file}: {tensor.name}.dtype", tensor.dtype, f"one of {DTYPES}")
            if tensor.dtype in NARROW and tensor.dtype != manifest.precision:
                raise wrong(f"{graph.file}: {tensor.name}.dtype", tensor.dtype, f"float32 or {manifest.precision}")
            if not all(isinstance(dim, str) or dim > 0 for dim in tensor.shape):
                raise wrong(f"{graph.file}: {tensor.name}.shape", list(tensor.shape), "positive sizes")
