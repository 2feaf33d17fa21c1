"""HyperStyle's hypernetworks (Alaluf et al., CVPR 2022): from a photo and its reconstruction to weight offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...runtime.manifest.layers import Layer
from .layers import EqualLinear, conv_stack
from .trunk import Trunk, TrunkShape

#: How a refinement block makes its layer's offset -> what the runtime is told of it.
KINDS = {"shared": "full", "separable": "full", "channel": "channel"}


@dataclass(frozen=True)
class BlockShape:
    """The refinement block of the generator's layer ``layer``: one of ``KINDS``, and its ``convs`` of ``inner`` width.

    ``pooled`` says that a "channel" block pools its features to one pixel, in place of a last convolution.
    """

    layer: int
    kind: str
    inner: int
    convs: int
    pooled: bool = False

    @property
    def strides(self) -> list[int]:
        """Of the convolutions: a block of the shared hypernetwork first looks around."""
        return [1 if self.kind == "shared" and i == 0 else 2 for i in range(self.convs)]


@dataclass(frozen=True)
class HypernetShape:
    """Widths of a hypernetwork whose offset codes have ``code`` numbers.

    ``hidden`` and ``channels`` are the shared hypernetwork's, 0 where there is none.
    """

    trunk: TrunkShape
    code: int
    blocks: tuple[BlockShape, ...]
    hidden: int = 0
    channels: int = 0

    @property
    def largest_input(self) -> int | None:
        """Sides of the largest input: there the blocks end at one pixel. None where all are pooled."""
        halvings = [block.strides.count(2) for block in self.blocks if not block.pooled]
        return self.trunk.stride << min(halvings) if halvings else None


class SharedHypernet(nn.Module):
    """The weight generator that many layers share: ``offset = (z @ w2 + b2) @ w1 + b1``, [B, C, C, k, k]."""

    def __init__(self, code: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.w1 = nn.Parameter(torch.empty(hidden, channels * 9))
        self.b1 = nn.Parameter(torch.empty(channels * 9))
        self.w2 = nn.Parameter(torch.empty(code, channels * hidden))
        self.b2 = nn.Parameter(torch.empty(channels * hidden))

    def forward(self, z: Tensor) -> Tensor:
        hidden = (z @ self.w2 + self.b2).view(-1, self.channels, len(self.w1))
        return (hidden @ self.w1 + self.b1).view(-1, self.channels, self.channels, 3, 3)


class Refinement(nn.Module):
    """What refinement blocks have in common: convolutions from the trunk's features to one pixel or a few."""

    def __init__(self, shape: BlockShape, features: int, code: int) -> None:
        super().__init__()
        self.convs = conv_stack([features, *[shape.inner] * (shape.convs - 1), code], shape.strides)
        self.linear: nn.Module = nn.Identity()

    def code(self, features: Tensor) -> Tensor:
        """Offset code [B, code]."""
        return self.linear(self.convs(features).mean((2, 3)))


class SharedRefinement(Refinement):
    """Refinement block of a layer that goes through the shared hypernetwork."""

    def __init__(self, shape: BlockShape, features: int, code: int, hypernet: SharedHypernet) -> None:
        super().__init__(shape, features, code)
        self.linear = EqualLinear(code, code)
        self.hypernet = hypernet

    def forward(self, features: Tensor) -> Tensor:
        return self.hypernet(self.linear(self.convs(features).flatten(1)))


class ChannelRefinement(Refinement):
    """Refinement block that predicts one offset per (out, in), tiled over the kernel; toRGB kernels are 1x1."""

    def __init__(self, shape: BlockShape, features: int, code: int, layer: Layer) -> None:
        super().__init__(shape, features, code)
        project = nn.Conv2d(code, layer.out_channels * layer.in_channels, 1)
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), project) if shape.pooled else nn.Sequential(project)
        self.shape = layer.weight_shape

    def project(self) -> nn.Conv2d:
        """The 1x1 convolution from the code to the out*in offsets."""
        projection = self.output[-1]
        assert isinstance(projection, nn.Conv2d)
        return projection

    def forward(self, features: Tensor) -> Tensor:
        out_channels, in_channels, kernel, _ = self.shape
        offset = self.output(self.convs(features)).view(-1, out_channels, in_channels, 1, 1)
        return offset.expand(-1, -1, -1, kernel, kernel)


class SeparableKernel(nn.Module):
    """A kernel as a product of two linear maps of the code, then a linear map along each channel axis (bilinear)."""

    def __init__(self, code: int, layer: Layer) -> None:
        super().__init__()
        self.taps, self.kernel = layer.kernel * layer.kernel, layer.kernel
        self.make_kernel_in = nn.Linear(code, self.taps * layer.in_channels)
        self.make_kernel_out = nn.Linear(code, self.taps * layer.out_channels)
        self.kernel_linear_in = nn.Linear(layer.in_channels, layer.in_channels)
        self.kernel_linear_out = nn.Linear(layer.out_channels, layer.out_channels)

    def forward(self, code: Tensor) -> Tensor:
        left = self.make_kernel_out(code).view(-1, self.taps, self.kernel_linear_out.in_features, 1)
        right = self.make_kernel_in(code).view(-1, self.taps, 1, self.kernel_linear_in.in_features)
        kernel = self.kernel_linear_out(self.kernel_linear_in(left @ right).transpose(2, 3))
        return kernel.permute(0, 3, 2, 1).unflatten(3, (self.kernel, self.kernel))


class SeparableRefinement(Refinement):
    """Refinement block of the separable hypernetwork's 3x3 layers outside the shared set."""

    def __init__(self, shape: BlockShape, features: int, code: int, layer: Layer) -> None:
        super().__init__(shape, features, code)
        self.output = nn.Sequential(SeparableKernel(code, layer))

    def kernel(self) -> SeparableKernel:
        """The bilinear map from the code to the offset."""
        kernel = self.output[0]
        assert isinstance(kernel, SeparableKernel)
        return kernel

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.convs(features).flatten(1))


class HyperNetwork(Trunk):
    """Both of HyperStyle's hypernetworks; ``layers`` is the generator's whole layer table."""

    def __init__(self, shape: HypernetShape, layers: Sequence[Layer]) -> None:
        super().__init__(shape.trunk)
        self.shape = shape
        features, code = shape.trunk.width, shape.code
        if shape.hidden:
            # First, so that the tensors that blocks repeat are listed under its name before.
            self.shared_weight_hypernet = SharedHypernet(code, shape.hidden, shape.channels)
        self.refinement_blocks = nn.ModuleDict()
        for block in shape.blocks:
            refinement: Refinement
            if block.kind == "shared":
                refinement = SharedRefinement(block, features, code, self.shared_weight_hypernet)
            elif block.kind == "separable":
                refinement = SeparableRefinement(block, features, code, layers[block.layer])
            else:
                refinement = ChannelRefinement(block, features, code, layers[block.layer])
            self.refinement_blocks[str(block.layer)] = refinement

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Offsets of one step by generator layer, each [B, out, in, k, k] float32, from [B, 6, H, W]."""
        features = self.features(x)
        return {int(index): block(features) for index, block in self.refinement_blocks.items()}
