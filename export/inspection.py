"""What a checkpoint file is, how large its parts are, and what exporting it would need."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from ..runtime.manifest.manifest import ImageSpec
from .checkpoint import Checkpoint, read_checkpoint
from .layout import Widths
from .methods import hyperstyle, idinvert, inversion
from .methods.loading import PARTS
from .methods.model import NO_CHOICES, image_spec
from .methods.recognition import (
    HYPERSTYLE,
    IDINVERT,
    IDINVERT_ENCODER,
    IDINVERT_VGG,
    LPIPS_HEADS,
    LPIPS_TRUNK,
    W_ENCODER,
    encoder_class,
    method_of,
)
from .networks.stylegan2 import GeneratorShape
from .options import domain
from .pickles import Unread
from .tensors import average_code, check_tensors


@dataclass(frozen=True)
class Part:
    """One part of a checkpoint; a tensor that stands under several names counts once."""

    name: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Networks:
    """What the networks of a checkpoint are like, as far as its options and shapes say.

    ``styles`` codes of ``width`` numbers drive the generator, ``channels`` are its features' from 4x4 up. ``input``
    says what the networks look at.
    """

    encoder: str | None = None
    hypernetwork: str | None = None
    size: int | None = None
    styles: int | None = None
    width: int | None = None
    channels: list[int] = field(default_factory=list)
    input: str | None = None
    tuned_layers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Description:
    """What `inspect` says of a file; ``needs`` lists what is missing before the command ``export`` can run.

    ``sha256`` is None unless every byte was asked for.
    """

    file: str
    bytes: int
    sha256: str | None
    method: str
    domain: str | None
    networks: Networks
    latent_avg: list[int] | None
    parts: list[Part]
    options: dict[str, Any]
    needs: list[str]
    export: str | None

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values, what it says of networks beside the rest."""
        document = asdict(self)
        networks = document.pop("networks")
        return {**document, **networks}


def inspect(path: Path, every_byte: bool = False) -> Description:
    """Describe a checkpoint by its options and the names and shapes of its tensors.

    Args:
        path: the file.
        every_byte: also look at every number, and compute the checksum: seconds for every GB.

    Raises:
        CheckpointError: it cannot be read. A file that can be read but not exported is described, with the reasons.
    """
    checkpoint = read_checkpoint(path)
    needs: list[str] = []
    method, networks, data = "unknown", Networks(), None
    try:
        method, data = method_of(checkpoint), domain(checkpoint)
        networks, check = _READERS.get(method, _read_inversion)(checkpoint)
        check(every_byte)
    except CheckpointError as error:
        needs.append(str(error))
    more, command = _next(method, path)
    return Description(
        file=str(path),
        bytes=path.stat().st_size,
        sha256=checkpoint.sha256 if every_byte else None,
        method=method,
        domain=data,
        networks=networks,
        latent_avg=None if checkpoint.latent_avg is None else list(checkpoint.latent_avg.shape),
        parts=_parts(checkpoint),
        options={str(name): _plain(value) for name, value in sorted(checkpoint.opts.items(), key=str)},
        needs=needs + more,
        export=command,
    )


def _next(method: str, path: Path) -> tuple[list[str], str | None]:
    """What else exporting a method's file needs, and the command."""
    command = "hyperstyle-deploy export"
    if method == HYPERSTYLE:
        need = (
            "the W-encoder's file, a second download of the authors: pass it with --w-encoder; "
            "or a pSp, e4e or ReStyle checkpoint, with --encoder, for its codes"
        )
        return [need], f"{command} {path} --w-encoder W_ENCODER.pt -o BUNDLE"
    if method == IDINVERT:
        need = (
            "IDInvert's encoder, a second file of the authors: pass it with --encoder; "
            "for the feature term of the loss also their vgg16.pth, with --vgg16"
        )
        return [need], f"{command} {path} --encoder ENCODER.pth --vgg16 VGG16.pth -o BUNDLE"
    if method in PARTS:
        whole, taking = PARTS[method]
        return [f"{whole}: this file is a part of it"], taking.format(path)
    return [], None if method == "unknown" else f"{command} {path} -o BUNDLE"


#: A file's networks in words, and what looks for flaws in it, at every byte or not.
_Read = tuple[Networks, Callable[[bool], None]]


def _read_hyperstyle(checkpoint: Checkpoint) -> _Read:
    layout = hyperstyle.read_layout(checkpoint)
    shape = layout.generator

    def check(every_byte: bool) -> None:
        generator, hypernet = hyperstyle.networks(layout)
        networks = {"hypernet": hypernet, "decoder": generator}
        check_tensors(checkpoint, networks, layout.problems, finite=every_byte)
        average_code(checkpoint, shape.styles, shape.width)

    kinds = {block.kind for block in layout.hypernet.blocks}
    image = image_spec(checkpoint, "photo", 3, shape.size, NO_CHOICES, [layout.hypernet.largest_input])
    described = Networks(
        hypernetwork="separable" if "separable" in kinds else "shared" if "shared" in kinds else "by channel",
        tuned_layers=[layer.index for layer in layout.layers if layer.tuned],
        **_generator(shape, image),
    )
    return described, check


def _read_inversion(checkpoint: Checkpoint) -> _Read:
    layout = inversion.read_layout(checkpoint)
    image = inversion.image_of(checkpoint, layout, NO_CHOICES)

    def check(every_byte: bool) -> None:
        generator, encoder = inversion.networks(layout)
        networks = {"encoder": encoder, "decoder": generator}
        check_tensors(checkpoint, networks, (), inversion.ignored(layout), finite=every_byte)
        if checkpoint.latent_avg is not None:
            average_code(checkpoint, layout.generator.styles, layout.generator.width, layout.surplus)

    return Networks(encoder=encoder_class(checkpoint).name, **_generator(layout.generator, image)), check


def _read_w_encoder(checkpoint: Checkpoint) -> _Read:
    """Its file may hold a generator as well, which is not used."""
    places = [("linear.bias", 0), ("linear.weight", 0)]
    shape = GeneratorShape((), width=Widths(checkpoint.part("encoder")).width(places, 512))

    def check(every_byte: bool) -> None:
        check_tensors(checkpoint, {"encoder": hyperstyle.w_encoder(checkpoint, shape)}, finite=every_byte)

    return Networks(encoder="WEncoder", width=shape.width, input="photo"), check


def _read_idinvert(checkpoint: Checkpoint) -> _Read:
    shape = idinvert.generator_shape(checkpoint.state)

    def check(every_byte: bool) -> None:
        idinvert.check_network(checkpoint, idinvert.empty_generator(shape), every_byte)

    described = Networks(
        size=shape.size,
        styles=shape.styles,
        width=shape.width,
        channels=list(shape.channels),
        input=f"photo, {shape.size}x{shape.size}",
    )
    return described, check


def _read_idinvert_encoder(checkpoint: Checkpoint) -> _Read:
    """How its numbers are cut into styles is the generator's affair."""
    shape = idinvert.encoder_shape(checkpoint.state)

    def check(every_byte: bool) -> None:
        idinvert.check_network(checkpoint, idinvert.empty_encoder(shape), every_byte)

    looked_at = f"photo, {shape.input}x{shape.input}"
    return Networks(encoder="IDInvert's", channels=list(shape.channels), input=looked_at), check


def _read_part(checkpoint: Checkpoint) -> _Read:
    """A network of a loss: it is looked at when a loss is exported with it."""
    return Networks(), lambda every_byte: None


_READERS = {
    HYPERSTYLE: _read_hyperstyle,
    W_ENCODER: _read_w_encoder,
    IDINVERT: _read_idinvert,
    IDINVERT_ENCODER: _read_idinvert_encoder,
    **dict.fromkeys((IDINVERT_VGG, LPIPS_TRUNK, LPIPS_HEADS), _read_part),
}


def _generator(shape: GeneratorShape, image: ImageSpec) -> dict[str, Any]:
    """What `Networks` says of a generator, and of what is put in front of it."""
    of = {"labels": f"{image.channels} labels", "sketch": "sketch"}.get(image.kind, "photo")
    return {
        "size": shape.size,
        "styles": shape.styles,
        "width": shape.width,
        "channels": list(shape.channels),
        "input": f"{of}, {image.input_width}x{image.input_height}",
    }


def _parts(checkpoint: Checkpoint) -> list[Part]:
    groups: dict[str, list[Tensor]] = {}
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, tensor in checkpoint.state.items():
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and key in seen:
            continue
        seen.add(key)
        groups.setdefault(_part_name(name), []).append(tensor)
    return [
        Part(name, len(tensors), sum(t.numel() for t in tensors), sum(t.nbytes for t in tensors))
        for name, tensors in groups.items()
    ]


def _part_name(tensor: str) -> str:
    head, _, rest = tensor.partition(".")
    if head != "hypernet":
        return head
    inner = {"shared_weight_hypernet": "shared hypernetwork", "refinement_blocks": "refinement blocks"}
    return f"hypernet: {inner.get(rest.partition('.')[0], 'trunk')}"


def _plain(value: Any) -> Any:
    value = value.what if isinstance(value, Unread) else value
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
