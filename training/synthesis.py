"""StyleGAN2's synthesis as a CPU trains it quickly: the same function of the same weights, in another order.

Styles multiply activations and demodulation the results, so that a batch shares its weights; an up-convolution and its
blur are one convolution. Noise is left out: its strengths stay at zero.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..export.networks.layers import DEMODULATION_EPS, LEAKY_SLOPE, SQRT2, Blur, ModulatedConv
from ..export.networks.stylegan2 import Generator, StyledConv, ToRGB


def synthesize(
    generator: Generator, codes: Tensor, offsets: dict[int, Tensor] | None = None, levels: int | None = None
) -> Tensor:
    """Draw pictures.

    Args:
        generator: with noise strengths of zero.
        codes: W+ [B, styles, style]; or [B, style], one for all rows.
        offsets: relative weight offsets by generator layer, each [B, out, in, k, k]; None or empty for none.
        levels: resolutions above 4x4 to draw; all by default.

    Returns:
        [B, 3, side, side] float32, the side being 4 << levels.
    """
    offset = (offsets or {}).get
    rows = codes.unbind(1) if codes.dim() == 3 else [codes] * generator.shape.styles
    start = generator.input.input.expand(len(codes), -1, -1, -1)
    x = _styled(generator.conv1, start.contiguous(memory_format=torch.channels_last), rows[0], offset(0))
    rgb = _to_rgb(generator.to_rgb1, x, rows[1], offset(1))
    for level, to_rgb in enumerate(list(generator.to_rgbs)[:levels]):
        for half in (0, 1):
            row = rows[2 * level + 1 + half]
            x = _styled(generator.convs[2 * level + half], x, row, offset(3 * level + 2 + half))
        rgb = to_rgb.upsample(rgb) + _to_rgb(to_rgb, x, rows[2 * level + 3], offset(3 * level + 4))
    return rgb


def _styled(layer: StyledConv, x: Tensor, codes: Tensor, offset: Tensor | None) -> Tensor:
    y, factor = convolve(layer.conv, x, codes, offset)
    # The activation's gain goes through it, which saves a pass over the picture.
    bias = (SQRT2 * layer.activate.bias).view(1, -1, 1, 1).to(y.dtype)
    return F.leaky_relu(torch.addcmul(bias, y, (SQRT2 * factor).to(y.dtype)), LEAKY_SLOPE)


def _to_rgb(layer: ToRGB, x: Tensor, codes: Tensor, offset: Tensor | None) -> Tensor:
    weight = layer.conv.scale * layer.conv.weight[:, :, :, 0, 0] * layer.conv.modulation(codes)[:, None]
    if offset is not None:
        weight = weight * (1 + offset[..., 0, 0])
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
    rgb = (pixels @ weight.transpose(1, 2).to(x.dtype)).transpose(1, 2).unflatten(2, x.shape[2:])
    return rgb.float() + layer.bias


def convolve(conv: ModulatedConv, x: Tensor, codes: Tensor, offset: Tensor | None) -> tuple[Tensor, Tensor]:
    """A modulated 3x3 convolution before its demodulation, and the demodulation's factors [B, out, 1, 1]."""
    style = conv.modulation(codes)
    x = x * style[:, :, None, None].to(x.dtype)
    if offset is None:
        weight = conv.scale * conv.weight[0]
        y = F.conv2d(x, _kernel(conv, weight), padding=1)
        energy = style.square() @ weight.square().sum((2, 3)).T
    else:
        weight = conv.scale * conv.weight * (1 + offset)
        # One convolution a sample: as groups of one convolution they are slower on a CPU.
        samples = zip(x.split(1), _kernel(conv, weight).unbind(), strict=True)
        y = torch.cat([F.conv2d(sample, kernel, padding=1) for sample, kernel in samples])
        energy = (weight.square().sum((3, 4)) @ style.square()[:, :, None])[..., 0]
    y = F.pixel_shuffle(y, 2) if conv.up else y
    return y, torch.rsqrt(energy + DEMODULATION_EPS)[:, :, None, None]


def _kernel(conv: ModulatedConv, weight: Tensor) -> Tensor:
    """Weights [..., out, in, 3, 3] as an ordinary convolution takes them; [..., 4 * out, in, 3, 3] for an up one."""
    if not conv.up:
        return weight
    four = (weight.flatten(-2) @ phases(conv.blur)).unflatten(-1, (4, 3, 3))  # [..., out, in, 4, 3, 3]
    return four.movedim(-3, -4).flatten(-5, -4)


def phases(blur: Blur) -> Tensor:
    """[9, 36]: from a 3x3 kernel to the four 3x3 kernels that do a blurred stride-2 transposed convolution.

    Each makes one of the four pixels that a pixel becomes: an ordinary convolution and a shuffle, which is quicker.
    """
    taps = torch.eye(9, dtype=blur.kernel.dtype).view(9, 1, 3, 3)
    full = F.conv2d(taps, blur.correlated()[None, None], padding=3)
    return full.view(9, 3, 2, 3, 2).flip(1, 3).permute(0, 2, 4, 1, 3).reshape(9, 36)
