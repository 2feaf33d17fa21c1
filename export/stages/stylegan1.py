"""Stages of IDInvert: its encoder with batch norms folded, and StyleGAN1 with one convolution a layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.manifest import ImageSpec
from ..networks.layers import LEAKY_SLOPE
from ..networks.residual_encoder import FirstBlock, LastBlock, ResidualBlock, ResidualEncoder
from ..networks.stylegan1 import (
    EPSILON,
    ConvLayer,
    Epilogue,
    FusedUpLayer,
    StyleGan1,
    UpLayer,
    four_shifts,
    instance_norm,
)


def folded(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A convolution's or linear map's weight and bias with the batch norm behind it inside, computed in float64."""
    assert isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    factor = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    shift = (mean.double() if bias is None else mean.double() - bias.double()) * -factor + norm.bias.double()
    rows = factor.view(-1, *[1] * (weight.dim() - 1))
    return (weight.double() * rows).float(), shift.float()


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    module.weight, module.bias = nn.Parameter(weight), nn.Parameter(bias)
    return module


class FoldedBlock(nn.Module):
    """A residual block as three convolutions at most."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first = _convolution(*folded(block.conv1.weight, block.wscale1.bias, block.bn1.bn))
        self.second = _convolution(*folded(block.conv2.weight, block.wscale2.bias, block.bn2.bn))
        self.by = _convolution(*folded(block.conv.weight, None, block.bn.bn)) if block.projected else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        by = x if self.by is None else F.leaky_relu(self.by(x), LEAKY_SLOPE)
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), LEAKY_SLOPE)), LEAKY_SLOPE) + by


class FoldedEncoder(nn.Module):
    """Photos [B, 3, H, W] to codes [B, rows, width]."""

    def __init__(self, encoder: ResidualEncoder) -> None:
        super().__init__()
        self.rows, self.width = encoder.shape.rows, encoder.shape.width
        self.blocks = nn.ModuleList()
        for block in encoder.children():
            if isinstance(block, FirstBlock):
                self.first = _convolution(*folded(block.conv.weight, None, block.bn.bn))
            elif isinstance(block, ResidualBlock):
                self.blocks.append(FoldedBlock(block))
            elif isinstance(block, LastBlock):
                weight, bias = folded(block.fc.weight * block.scale, None, block.bn.bn)
                # As the product takes it: graphs with and without a gradient then read the same bytes, 470 MB at 256.
                self.weight, self.bias = nn.Parameter(weight.t().contiguous()), nn.Parameter(bias)

    def forward(self, image: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(image), LEAKY_SLOPE)
        for block in self.blocks:
            x = block(x)
        return torch.addmm(self.bias, x.flatten(1), self.weight).view(-1, self.rows, self.width)


class FoldedEpilogue(nn.Module):
    """``norm(leaky_relu(x + noise * weight + bias)) * s0 + s1``, with the 1 that is added to s0 in its own bias."""

    def __init__(self, epilogue: Epilogue) -> None:
        super().__init__()
        dense = epilogue.style_mod.dense
        weights, biases = (dense.fc.weight * dense.scale).chunk(2), dense.wscale.bias.chunk(2)
        self.scales = nn.ParameterList([weights[0].contiguous(), biases[0] + 1])
        self.shifts = nn.ParameterList([weights[1].contiguous(), biases[1].contiguous()])
        self.noise = nn.Parameter(epilogue.apply_noise.weight.view(1, -1, 1, 1))
        self.bias = nn.Parameter(epilogue.bias.view(1, -1, 1, 1))

    def forward(self, x: Tensor, code: Tensor, noise: Tensor, epsilon: Tensor) -> Tensor:
        x = instance_norm(F.leaky_relu(x + (noise * self.noise + self.bias), LEAKY_SLOPE), epsilon)
        return self.styled(x, code)

    def styled(self, x: Tensor, code: Tensor) -> Tensor:
        """What is normalised, under the layer's code."""
        scale, shift = (F.linear(code, *affine)[:, :, None, None] for affine in (self.scales, self.shifts))
        return x * scale + shift


class FoldedLayer(nn.Module):
    """A layer as one convolution, transposed where it doubles its input, and where it does the blur behind it.

    Nearest upsampling and a 3x3 convolution are one transposed convolution of 4x4 and stride 2: ``four_shifts`` of the
    kernel, turned around, since a transposed convolution spreads what a convolution gathers. Published layers from 128
    pixels on are stored so already, not turned.
    """

    def __init__(self, layer: ConvLayer | FusedUpLayer) -> None:
        super().__init__()
        self.epilogue = FoldedEpilogue(layer.epilogue)
        self.blur: nn.Parameter | None = None
        if isinstance(layer, ConvLayer):
            kernel = layer.conv.weight * layer.scale
            if isinstance(layer, UpLayer):
                kernel = four_shifts(kernel.flip(2, 3).transpose(0, 1))
        else:
            kernel = four_shifts(layer.weight.permute(2, 3, 0, 1) * layer.scale)
        self.weight = nn.Parameter(kernel.contiguous())
        if isinstance(layer, (UpLayer, FusedUpLayer)):
            self.blur = nn.Parameter(layer.blur.kernel)

    def forward(self, x: Tensor, code: Tensor, noise: Tensor, epsilon: Tensor) -> Tensor:
        if self.blur is None:
            x = F.conv2d(x, self.weight, padding=1)
        else:
            x = F.conv_transpose2d(x, self.weight, stride=2, padding=1)
            x = F.conv2d(x, self.blur, padding=1, groups=x.shape[1])
        return self.epilogue(x, code, noise, epsilon)


class StyleGan1Drawing(nn.Module):
    """Codes [N, styles, width] and noises [1, 1, r, r] of every convolution, to drawings [N, 3, size, size].

    The constant with its own noise is the same for all codes up to its style, so it is kept as it is before that.
    """

    def __init__(self, generator: StyleGan1) -> None:
        super().__init__()
        synthesis = generator.synthesis
        first, *layers = (synthesis.get_submodule(f"layer{index}") for index in range(generator.shape.styles))
        self.constant = nn.Parameter(first.epilogue.normalised(first.const))
        self.first = FoldedEpilogue(first.epilogue)
        self.layers = nn.ModuleList(FoldedLayer(layer) for layer in layers)
        output = synthesis.output
        self.weight, self.bias = nn.Parameter(output.conv.weight * output.scale), nn.Parameter(output.bias)
        # A vector, because the exporter takes a scalar of 1e-8 for zero and drops the sum.
        self.register_buffer("epsilon", torch.full((1,), EPSILON))

    def forward(self, codes: Tensor, noises: Sequence[Tensor]) -> Tensor:
        x = self.first.styled(self.constant, codes[:, 0])
        for index, (layer, noise) in enumerate(zip(self.layers, noises, strict=True), 1):
            x = layer(x, codes[:, index], noise, self.epsilon)
        return F.conv2d(x, self.weight, self.bias).tanh()


class StyleGan1Stage(nn.Module):
    """Stage `synthesis`: codes to the image, which is what the networks look at, too."""

    def __init__(self, generator: StyleGan1, image: ImageSpec) -> None:
        super().__init__()
        self.drawing, self.rows = StyleGan1Drawing(generator), image.rows

    def forward(self, codes: Tensor, noises: list[Tensor]) -> tuple[Tensor, Tensor]:
        drawing = self.drawing(codes, noises)
        return drawing[:, :, slice(*self.rows)], drawing


def noises_of(generator: StyleGan1) -> list[Tensor]:
    """The checkpoint's noises, one a convolution, as `synthesis` takes them."""
    layers = (generator.synthesis.get_submodule(f"layer{index}") for index in range(1, generator.shape.styles))
    return [layer.epilogue.apply_noise.noise for layer in layers]
