"""HyperStyle's hypernetworks (Alaluf et al., CVPR 2022): from a photo and its reconstruction to weight offsets."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import Layer
from .layers import EqualLinear

FEATURES = 512


class BasicBlock(nn.Module):
    """ResNet-34's residual block (He et al., 2016)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _stack(widths: list[int], strides: list[int]) -> nn.Sequential:
    """3x3 convolutions ``widths[i] -> widths[i + 1]``, LeakyReLU(0.01) after each."""
    layers: list[nn.Module] = []
    for i, stride in enumerate(strides):
        layers += [nn.Conv2d(widths[i], widths[i + 1], 3, stride, 1), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


class SharedHypernet(nn.Module):
    """The weight generator that all 512x512 layers share: ``offset = (z @ w2 + b2) @ w1 + b1``, [B, 512, 512, 3, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(512, 512 * 9))
        self.b1 = nn.Parameter(torch.empty(512 * 9))
        self.w2 = nn.Parameter(torch.empty(512, 512 * 512))
        self.b2 = nn.Parameter(torch.empty(512 * 512))

    def forward(self, z: Tensor) -> Tensor:
        hidden = (z @ self.w2 + self.b2).view(-1, 512, 512)
        return (hidden @ self.w1 + self.b1).view(-1, 512, 512, 3, 3)


class SharedRefinement(nn.Module):
    """Refinement block of a layer that goes through the shared hypernetwork."""

    def __init__(self, hypernet: SharedHypernet) -> None:
        super().__init__()
        self.convs = _stack([FEATURES, 128, 128, 128, 128, FEATURES], [1, 2, 2, 2, 2])
        self.linear = EqualLinear(FEATURES, FEATURES)
        self.hypernet = hypernet

    def code(self, features: Tensor) -> Tensor:
        """Offset code [B, 512]."""
        return self.linear(self.convs(features).flatten(1))

    def forward(self, features: Tensor) -> Tensor:
        return self.hypernet(self.code(features))


class ChannelRefinement(nn.Module):
    """Refinement block that predicts one offset per (out, in), tiled over the kernel; toRGB kernels are 1x1."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        halvings = 3 if layer.kernel == 3 else 4
        self.convs = _stack([FEATURES, *[256] * (halvings - 1), FEATURES], [2] * halvings)
        project = nn.Conv2d(FEATURES, layer.out_channels * layer.in_channels, 1)
        # The toRGB blocks of the published layout have no pooling in front, so their projection has index 0.
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), project) if layer.kernel == 3 else nn.Sequential(project)
        self.shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)

    def code(self, features: Tensor) -> Tensor:
        """Offset code [B, 512]."""
        return self.convs(features).mean((2, 3))

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

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.taps, self.kernel = layer.kernel * layer.kernel, layer.kernel
        self.make_kernel_in = nn.Linear(FEATURES, self.taps * layer.in_channels)
        self.make_kernel_out = nn.Linear(FEATURES, self.taps * layer.out_channels)
        self.kernel_linear_in = nn.Linear(layer.in_channels, layer.in_channels)
        self.kernel_linear_out = nn.Linear(layer.out_channels, layer.out_channels)

    def forward(self, code: Tensor) -> Tensor:
        left = self.make_kernel_out(code).view(-1, self.taps, self.kernel_linear_out.in_features, 1)
        right = self.make_kernel_in(code).view(-1, self.taps, 1, self.kernel_linear_in.in_features)
        kernel = self.kernel_linear_out(self.kernel_linear_in(left @ right).transpose(2, 3))
        return kernel.permute(0, 3, 2, 1).unflatten(3, (self.kernel, self.kernel))


class SeparableRefinement(nn.Module):
    """Refinement block of the separable hypernetwork's 3x3 layers outside the shared set."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.convs = _stack([FEATURES, 256, 256, 256, FEATURES], [2] * 4)
        self.output = nn.Sequential(SeparableKernel(layer))

    def code(self, features: Tensor) -> Tensor:
        """Offset code [B, 512]."""
        return self.convs(features).flatten(1)

    def kernel(self) -> SeparableKernel:
        """The bilinear map from the code to the offset."""
        kernel = self.output[0]
        assert isinstance(kernel, SeparableKernel)
        return kernel

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.code(features))


class Trunk(nn.Module):
    """ResNet-34 without its max-pool: [B, 6, H, W] float32 becomes [B, 512, H/16, W/16]."""

    def __init__(self, input_channels: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.PReLU(64)
        stages = ((64, 64, 3), (64, 128, 4), (128, 256, 6), (256, 512, 3))
        self.body = nn.Sequential(
            *(
                BasicBlock(before if i == 0 else channels, channels, 2 if i == 0 and before != channels else 1)
                for before, channels, blocks in stages
                for i in range(blocks)
            )
        )

    def features(self, x: Tensor) -> Tensor:
        """Features of the photo stacked on its reconstruction."""
        return self.body(self.relu(self.bn1(self.conv1(x))))


class HyperNetwork(Trunk):
    """Both of HyperStyle's hypernetworks; ``layers`` is the generator's whole layer table."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.shared_weight_hypernet = SharedHypernet()
        self.refinement_blocks = nn.ModuleDict()
        for layer in layers:
            if layer.offset == "shared":
                self.refinement_blocks[str(layer.index)] = SharedRefinement(self.shared_weight_hypernet)
            elif layer.offset == "channel":
                self.refinement_blocks[str(layer.index)] = ChannelRefinement(layer)
            elif layer.offset == "separable":
                self.refinement_blocks[str(layer.index)] = SeparableRefinement(layer)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Offsets of one step by generator layer, each [B, out, in, k, k] float32, from [B, 6, H, W]."""
        features = self.features(x)
        return {int(index): block(features) for index, block in self.refinement_blocks.items()}
