"""The published networks at the demo model's widths, and how they are initialised for training."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from ..export.methods.inversion import ITERATIVE
from ..export.methods.recognition import ENCODERS, PAIR
from ..export.networks.encoders import Encoder, EncoderShape, build_encoder
from ..export.networks.hypernetwork import BlockShape, ChannelRefinement, HypernetShape, HyperNetwork, SharedHypernet
from ..export.networks.layers import Blur, EqualLinear, ModulatedConv
from ..export.networks.residual_encoder import ResidualShape
from ..export.networks.stylegan1 import StyleGan1Shape
from ..export.networks.stylegan2 import Generator, GeneratorShape, StyledConv, ToRGB
from ..export.networks.trunk import TrunkShape, trunk_shape
from ..export.seeded import USUAL_ENCODERS
from ..runtime.manifest.layers import layer_table

#: Spread of a hypernetwork's first offsets: small, for an offset of nothing is the generator as it was trained.
FIRST_OFFSETS = 0.01


@dataclass(frozen=True)
class Widths:
    """How wide the demo model is; ``channels`` from 4x4 up, ``trunk`` and ``encoder`` per stage of one unit each.

    Encoders that give a code for every row have one stage more than the W-encoder: its width is ``pyramid`` where
    their style blocks are on three levels (pSp, e4e), ``last`` where they are on the last one (ReStyle).
    """

    style: int = 64
    channels: tuple[int, ...] = (64, 64, 64, 32, 32)
    mapping: int = 8
    trunk: tuple[int, ...] = (16, 24, 32, 48)
    encoder: tuple[int, ...] = (16, 32, 48, 64)
    pyramid: int = 24
    last: int = 48
    code: int = 48
    shared_inner: int = 16
    channel_inner: int = 24

    @property
    def generator(self) -> GeneratorShape:
        """Of the generator; its size is that of all pictures."""
        return GeneratorShape(self.channels, self.style, self.mapping)

    @property
    def size(self) -> int:
        """Height and width of pictures."""
        return self.generator.size

    @property
    def w_encoder(self) -> EncoderShape:
        """Of HyperStyle's W-encoder."""
        return EncoderShape("pooled", self._encoder_trunk(3, self.encoder), self.generator.styles, self.style)

    def inversion_encoder(self, method: str) -> EncoderShape:
        """Of the encoder of pSp, e4e or ReStyle, of the class that its authors train."""
        encoder = ENCODERS[USUAL_ENCODERS[method]]
        last = self.pyramid if encoder.head == "pyramid" else self.last
        trunk = self._encoder_trunk(PAIR if method in ITERATIVE else 3, (*self.encoder, last))
        return EncoderShape(encoder.head, trunk, self.generator.styles, self.style, encoder.progressive, convs=1)

    def _encoder_trunk(self, channels: int, stages: tuple[int, ...]) -> TrunkShape:
        return trunk_shape("irse", channels, stages[0], tuple((width, 1) for width in stages))

    @property
    def stylegan1(self) -> StyleGan1Shape:
        """Of the generator that IDInvert inverts: as wide as the other one."""
        level_by_level = (False,) * (len(self.channels) - 1)
        return StyleGan1Shape(self.channels, level_by_level, self.style, self.mapping, self.style, self.style)

    @property
    def residual_encoder(self) -> ResidualShape:
        """Of IDInvert's encoder: down to 4x4, as the published one."""
        widths = (*self.encoder, self.encoder[-1])
        hidden = tuple(min(pair) for pair in pairwise(widths))
        return ResidualShape(widths, hidden, self.size >> len(hidden), self.stylegan1.styles, self.style)

    @property
    def hypernet(self) -> HypernetShape:
        """Of the hypernetwork: all 3x3 convolutions tuned, the widest ones through the shared hypernetwork."""
        trunk = trunk_shape("resnet", 6, self.trunk[0], tuple((channels, 1) for channels in self.trunk))
        halvings = int(math.log2(self.size // trunk.stride))
        widest = self.channels[0]
        blocks = []
        for layer in layer_table(self.channels):
            if layer.kernel == 1:
                continue
            if layer.in_channels == layer.out_channels == widest:
                blocks.append(BlockShape(layer.index, "shared", self.shared_inner, halvings + 1))
            else:
                blocks.append(BlockShape(layer.index, "channel", self.channel_inner, halvings + 1, pooled=True))
        return HypernetShape(trunk, self.code, tuple(blocks), hidden=self.code, channels=widest)


def new_generator(widths: Widths) -> Generator:
    """StyleGAN2 as it starts; levels above the first two add nothing to the picture until they have learned to."""
    generator = Generator(widths.generator)
    nn.init.normal_(generator.input.input)
    for name, module in generator.named_modules():
        if isinstance(module, ModulatedConv):
            nn.init.normal_(module.weight)
        elif isinstance(module, EqualLinear):
            # The mapping's weights are stored divided by their learning-rate multiplier.
            nn.init.normal_(module.weight, std=1 / module.lr_mul)
            nn.init.constant_(module.bias, 1.0 if name.endswith("modulation") else 0.0)
        elif isinstance(module, Blur):
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
            module.kernel.copy_(torch.outer(taps, taps) / 16)
    for to_rgb in generator.to_rgbs[1:]:
        nn.init.zeros_(to_rgb.conv.weight)
    for module in generator.modules():
        if isinstance(module, StyledConv):
            nn.init.zeros_(module.noise.weight)
            nn.init.zeros_(module.activate.bias)
        elif isinstance(module, ToRGB):
            nn.init.zeros_(module.bias)
    for noise in generator.noises.buffers():
        nn.init.normal_(noise)
    return generator


def new_encoder(widths: Widths) -> Encoder:
    """A W-encoder as it starts."""
    encoder = build_encoder(widths.w_encoder)
    _start_linear(encoder)
    return encoder


def new_inversion_encoder(widths: Widths, method: str, start: Encoder) -> Encoder:
    """An encoder of pSp, e4e or ReStyle as it starts: with the tensors of a trained one, as far as it has them.

    The authors start from a trunk that was trained to tell people apart. Of a pair the second picture counts for
    nothing at first, and the rows of a progressive encoder do not differ.
    """
    encoder = build_encoder(widths.inversion_encoder(method))
    _start_linear(encoder)
    trained, first = start.state_dict(), "input_layer.0.weight"
    own = encoder.state_dict()
    if own[first].shape != trained[first].shape:
        trained[first] = torch.cat([trained[first], torch.zeros_like(trained[first])], 1)
    encoder.load_state_dict({name: tensor for name, tensor in trained.items() if name in own}, strict=False)
    if encoder.shape.progressive:
        for row in range(1, encoder.shape.rows):
            nn.init.zeros_(encoder.get_parameter(f"styles.{row}.linear.weight"))
            nn.init.zeros_(encoder.get_parameter(f"styles.{row}.linear.bias"))
    return encoder


def new_hypernetwork(widths: Widths) -> HyperNetwork:
    """A hypernetwork as it starts: its offsets are small."""
    offsets = {block.layer: "full" if block.kind == "shared" else "channel" for block in widths.hypernet.blocks}
    hypernet = HyperNetwork(widths.hypernet, layer_table(widths.channels, offsets))
    _start_linear(hypernet)
    for module in hypernet.modules():
        if isinstance(module, SharedHypernet):
            nn.init.normal_(module.w2, std=len(module.w2) ** -0.5)
            nn.init.normal_(module.w1, std=FIRST_OFFSETS * len(module.w1) ** -0.5)
            nn.init.zeros_(module.b1)
            nn.init.zeros_(module.b2)
        elif isinstance(module, ChannelRefinement):
            project = module.project()
            nn.init.normal_(project.weight, std=FIRST_OFFSETS * project.in_channels**-0.5)
            nn.init.zeros_(project.bias)
    return hypernet


def _start_linear(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, EqualLinear):
            nn.init.normal_(module.weight)
            nn.init.zeros_(module.bias)
