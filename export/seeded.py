"""Seeded checkpoints in the authors' layouts: what `demo` and the tests run on in place of the published weights.

Every tensor is drawn from a stream of its own, seeded by its name, with a spread chosen by its role so that
activations and offsets stay in a trained network's range. The pictures are texture, not faces.
"""

import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..runtime.bundle.files import atomic_file
from ..runtime.manifest.layers import Layer, layer_table
from .checkpoint import GENERATOR
from .methods.hyperstyle import CLASSES
from .methods.inversion import ITERATIVE
from .methods.recognition import ENCODERS, HYPERSTYLE, PAIR, EncoderClass
from .networks.encoders import EncoderShape, build_encoder
from .networks.hypernetwork import BlockShape, HypernetShape, HyperNetwork
from .networks.stylegan2 import Generator, GeneratorShape, published_channels
from .networks.trunk import TrunkShape, trunk_shape

#: The authors' default: every convolution but toRGB; indices past a smaller generator's last layer mean nothing.
DEFAULT_TUNED = "0,2,3,5,6,8,9,11,12,14,15,17,18,20,21,23,24"

FIR_KERNEL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 16

# (name pattern, mean, spread, what the spread is): "std", "gain" for sqrt(spread / fan_in), "row gain" for matrices
# that are multiplied from the left. First match wins.
_RULES = tuple(
    (re.compile(pattern), mean, spread, kind)
    for pattern, mean, spread, kind in (
        (r"latent_avg$", 0.0, 0.3, "std"),
        (r"running_mean$", 0.0, 0.05, "std"),
        (r"shared_weight_hypernet\.w1$", 0.0, 0.001152, "row gain"),
        (r"shared_weight_hypernet\.b1$", 0.0, 0.001, "std"),
        (r"shared_weight_hypernet\.w2$", 0.0, 0.32, "row gain"),
        (r"shared_weight_hypernet\.b2$", 0.0, 0.01, "std"),
        (r"(refinement_blocks|styles)\.\d+\.convs\.\d+\.weight$", 0.0, 1.96, "gain"),
        (r"(refinement_blocks|styles)\.\d+\.(convs|output)\..*bias$|latlayer\d\.bias$", 0.0, 0.01, "std"),
        (r"refinement_blocks\.\d+\.output\.0\.\w+\.weight$", 0.0, 0.1225, "gain"),
        (r"refinement_blocks\.\d+\.output\.\d\.weight$", 0.0, 0.000144, "gain"),
        (r"^(relu|input_layer\.2|body\.\d+\.res_layer\.2)\.weight$", 0.25, 0.02, "std"),
        (r"^style\.\d\.weight$", 0.0, 100.0, "std"),
        (r"modulation\.bias$", 1.0, 0.1, "std"),
        (r"modulation\.weight$|linear\.weight$", 0.0, 1.0, "std"),
        (r"^to_rgb.*\.conv\.weight$", 0.0, 0.4, "std"),
        (r"noise\.weight$|^style\.\d\.bias$|activate\.bias$|^to_rgb.*bias$|linear\.bias$", 0.0, 0.1, "std"),
        (r"^conv1\.conv\.weight$|^convs\.\d+\.conv\.weight$|noise_\d+$|^input\.input$", 0.0, 1.0, "std"),
    )
)


def draw(name: str, shape: tuple[int, ...], prefix: str = "") -> NDArray[np.float32] | NDArray[np.int64]:
    """Draw the tensor ``name`` (for instance "decoder.conv1.conv.weight"), float32 or int64 for a counter."""
    return _drawn(f"{prefix}{name}", name.partition(".")[2] or name, shape)


def _drawn(seed: str, leaf: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """A tensor that is called ``leaf`` in its network, from the stream of ``seed``."""
    if leaf.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if leaf.endswith((".blur.kernel", ".upsample.kernel")):
        return FIR_KERNEL.copy()
    stream = np.random.PCG64(zlib.crc32(seed.encode()))
    noise = np.random.Generator(stream).standard_normal(shape, dtype=np.float32)
    if leaf.endswith("running_var"):
        return np.float32(0.8) + np.float32(0.25) * np.abs(noise)
    mean, std = _spread(leaf, shape)
    return np.float32(mean) + np.float32(std) * noise


def _spread(leaf: str, shape: tuple[int, ...]) -> tuple[float, float]:
    for pattern, mean, spread, kind in _RULES:
        if pattern.search(leaf):
            fan = shape[:1] if kind == "row gain" else shape[1:]
            return mean, spread if kind == "std" else _fan_in_std(spread, fan)
    if len(shape) == 1:  # batch normalisation
        return (1.0 if leaf.endswith("weight") else 0.0), 0.05
    return 0.0, _fan_in_std(1.0, shape[1:])


def _fan_in_std(gain: float, fan: tuple[int, ...]) -> float:
    return round(math.sqrt(gain / math.prod(fan)), 8)


@dataclass(frozen=True)
class Sizes:
    """Widths of a family of networks: every method's checkpoints follow from them.

    ``stages`` are (channels, units) of a trunk, ``convs`` the halvings from its features to one pixel, ``inner`` the
    widths inside refinement blocks, of the shared hypernetwork's and of the others.
    """

    generator: GeneratorShape
    stem: int
    stages: dict[str, tuple[tuple[int, int], ...]]
    reduction: int
    convs: int
    pool: int
    code: int
    hidden: int
    inner: tuple[int, int]

    def trunk(self, kind: str, channels: int) -> TrunkShape:
        """The trunk of one kind, for an input of so many channels."""
        return trunk_shape(kind, channels, self.stem, self.stages[kind], self.reduction)

    def encoder(self, encoder: EncoderClass, channels: int) -> EncoderShape:
        """An encoder for an input of so many channels."""
        styles = encoder.head in ("styles", "pyramid")
        return EncoderShape(
            encoder.head,
            self.trunk(encoder.trunk, channels),
            self.generator.styles,
            self.generator.width,
            encoder.progressive,
            convs=self.convs if styles else 0,
            pool=self.pool if encoder.head == "flattened" else 0,
        )

    def hypernet(self, layers: tuple[Layer, ...], tuned: list[int], separable: bool) -> HypernetShape:
        """The shared-weights hypernetwork or the separable one: layers as wide as the first one share a part."""
        channels = self.generator.channels[0]
        blocks = []
        for layer in (layer for layer in layers if layer.index in tuned):
            if layer.weight_shape == (channels, channels, 3, 3):
                blocks.append(BlockShape(layer.index, "shared", self.inner[0], self.convs + 1))
            elif layer.kernel == 1:
                blocks.append(BlockShape(layer.index, "channel", self.inner[1], self.convs))
            elif separable:
                blocks.append(BlockShape(layer.index, "separable", self.inner[1], self.convs))
            else:
                inner = self.inner[1] if self.convs > 2 else self.code  # a single convolution has nothing inside
                blocks.append(BlockShape(layer.index, "channel", inner, self.convs - 1, pooled=True))
        return HypernetShape(self.trunk("resnet", PAIR), self.code, tuple(blocks), self.hidden, channels)


def published_sizes(size: int, multiplier: int = 2) -> Sizes:
    """The published networks for images of ``size``; ``multiplier`` 1 is the half-width generator."""
    return Sizes(
        generator=GeneratorShape(published_channels(size, multiplier)),
        stem=64,
        stages={
            "irse": ((64, 3), (128, 4), (256, 14), (512, 3)),
            "resnet": ((64, 3), (128, 4), (256, 6), (512, 3)),
        },
        reduction=16,
        convs=4,
        pool=7,
        code=512,
        hidden=512,
        inner=(128, 256),
    )


#: The smallest networks with every part that the published ones have: 64 pixels in and out, a few hundred kB.
#: Widths that need not be equal differ, so that none can be taken for another.
TINY = Sizes(
    generator=GeneratorShape((28, 28, 28, 20, 12), width=32, mapping=2),
    stem=16,
    stages={"irse": ((16, 2), (20, 1), (24, 2), (36, 1)), "resnet": ((16, 1), (20, 2), (24, 1), (36, 1))},
    reduction=4,
    convs=2,
    pool=3,
    code=22,
    hidden=26,
    inner=(14, 18),
)

#: The class of a method's encoder that its authors' commands train.
USUAL_ENCODERS = {
    "psp": "GradualStyleEncoder",
    "e4e": "Encoder4Editing",
    "restyle-psp": "BackboneEncoder",
    "restyle-e4e": "ProgressiveBackboneEncoder",
}


def write_checkpoints(
    folder: Path,
    method: str = HYPERSTYLE,
    sizes: Sizes | None = None,
    *,
    dataset_type: str = "ffhq",
    encoder_type: str | None = None,
    labels: int = 0,
    separable: bool = False,
    layers_to_tune: str = DEFAULT_TUNED,
    prefix: str = "",
) -> tuple[Path, ...]:
    """Write the seeded checkpoints of a method, file for file as the authors' training does.

    Args:
        folder: an existing folder; `hyperstyle.pt` and `w_encoder.pt` appear in it, or one file named for the method.
        method: one of the manifest's names.
        sizes: of the networks, those of the published ones at 256 by default; or ``TINY``.
        dataset_type: the authors' name of the data; one with "cars" in it crops the result.
        encoder_type: the encoder's class, the method's usual one by default.
        labels: what a pSp encoder translates from: 1 for sketches, more for label maps, 0 for photos.
        separable: the separable hypernetwork in place of the shared one.
        layers_to_tune: comma list of generator layers, "" for all.
        prefix: before every name that a tensor is drawn under: another one gives other values.

    Returns:
        The paths of the files, the method's own first: what `export` takes.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    sizes = sizes or published_sizes(256)
    with torch.device("meta"):
        generator = Generator(sizes.generator)
    decoder = {"decoder": generator}
    if method == HYPERSTYLE:
        options = _hyperstyle_options(sizes, dataset_type, separable, layers_to_tune)
        with torch.device("meta"):
            hypernet = _hypernet(sizes, separable, layers_to_tune)
            w_encoder = build_encoder(sizes.encoder(ENCODERS["WEncoder"], 3))
        parts: dict[str, dict[str, nn.Module]] = {
            "hyperstyle.pt": {"hypernet": hypernet, **decoder},
            "w_encoder.pt": {"encoder": w_encoder},
        }
    else:
        encoder = ENCODERS[encoder_type or USUAL_ENCODERS[method]]
        channels = PAIR if method in ITERATIVE else labels or 3
        options = _encoder_options(sizes, method, encoder, dataset_type, labels)
        with torch.device("meta"):
            network = build_encoder(sizes.encoder(encoder, channels))
        parts = {f"{method.replace('-', '_')}.pt": {"encoder": network, **decoder}}
    shape = (sizes.generator.styles, sizes.generator.width)
    latent_avg = torch.from_numpy(draw("latent_avg", shape, prefix))
    for name, networks in parts.items():
        state = {n: t for part, network in networks.items() for n, t in _state(part, network, prefix).items()}
        content = {"state_dict": state, "latent_avg": latent_avg, "opts": options}
        with atomic_file(folder / name) as partial:
            torch.save(content, partial)
    return tuple(folder / name for name in parts)


def write_generator(path: Path, sizes: Sizes | None = None, prefix: str = "finetuned/") -> Path:
    """Write a seeded generator as fine-tuning leaves it: `g_ema`, and the average code of its W, which is not used.

    Args:
        path: the file.
        sizes: those of the networks, as for ``write_checkpoints``.
        prefix: before every name that a tensor is drawn under.

    Raises:
        OutputError: the folder is read-only or the disk is full.
    """
    sizes = sizes or published_sizes(256)
    with torch.device("meta"):
        tensors = Generator(sizes.generator).state_dict()
    state = {name: torch.from_numpy(_drawn(f"{prefix}{name}", name, tuple(t.shape))) for name, t in tensors.items()}
    average = torch.from_numpy(draw("latent_avg", (sizes.generator.width,), prefix))
    with atomic_file(path) as partial:
        torch.save({GENERATOR: state, "latent_avg": average}, partial)
    return path


def _hypernet(sizes: Sizes, separable: bool, layers_to_tune: str) -> HyperNetwork:
    layers = layer_table(sizes.generator.channels)
    tuned = [int(index) for index in layers_to_tune.split(",")] if layers_to_tune else list(range(len(layers)))
    return HyperNetwork(sizes.hypernet(layers, tuned, separable), layers)


def _hyperstyle_options(sizes: Sizes, dataset_type: str, separable: bool, layers_to_tune: str) -> dict[str, Any]:
    return {
        "output_size": sizes.generator.size,
        "dataset_type": f"{dataset_type}_hypernet",
        "encoder_type": CLASSES[separable],
        "input_nc": PAIR,
        "layers_to_tune": layers_to_tune,
        "n_iters_per_batch": 5,
        "w_encoder_type": "WEncoder",
        "device": "cuda:0",
    }


def _encoder_options(
    sizes: Sizes, method: str, encoder: EncoderClass, dataset_type: str, labels: int
) -> dict[str, Any]:
    """As each repository saves them: e4e has a name of its own for the size, and no other inputs than photos."""
    options = {"encoder_type": encoder.name, "dataset_type": f"{dataset_type}_encode", "start_from_latent_avg": True}
    if method == "e4e":
        return {**options, "stylegan_size": sizes.generator.size, "device": "cuda:0"}
    options |= {"output_size": sizes.generator.size, "device": "cuda:0"}
    if method in ITERATIVE:
        return {**options, "input_nc": PAIR, "n_iters_per_batch": 5}
    return {**options, "input_nc": labels or 3, "label_nc": labels, "learn_in_w": False}


def _state(part: str, network: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Draw a network's tensors; those that are one tensor in the network are one in the file."""
    drawn: dict[int, Tensor] = {}
    state = {}
    # The shared hypernetwork comes first in the module tree, so its tensors are drawn under its own name.
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in drawn:
            drawn[id(tensor)] = torch.from_numpy(draw(f"{part}.{name}", tuple(tensor.shape), prefix))
        state[f"{part}.{name}"] = drawn[id(tensor)]
    return state
