"""Stage `synthesis`: codes and tuned weights to the image and its reconstruction, for any number of codes at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.layers import Layer
from ..networks.layers import DEMODULATION_EPS, LEAKY_SLOPE, SQRT2, EqualLinear
from ..networks.stylegan2 import Generator, StyledConv, ToRGB
from .offsets import base_weight, energy


def folded_modulation(modulation: EqualLinear) -> nn.Linear:
    """The style's affine map with the equalized learning rate folded in."""
    linear = nn.Linear(modulation.weight.shape[1], modulation.weight.shape[0])
    linear.weight = nn.Parameter(modulation.weight * modulation.scale)
    linear.bias = nn.Parameter(modulation.bias * modulation.lr_mul)
    return linear


class SynthesisConv(nn.Module):
    """``leaky_relu(conv(x * s, W') * d + noise + bias)``, the style on the activations.

    ``d = sqrt(2) * rsqrt(energy @ s^2 + eps)``: leaky_relu commutes with the positive gain sqrt(2), so it moves into
    d, the noise (its strength folded in) and the bias. In an up-convolution d commutes with the blur, which then
    takes the bias along.
    """

    def __init__(self, conv: StyledConv, noise: Tensor) -> None:
        super().__init__()
        self.modulation = folded_modulation(conv.conv.modulation)
        self.noise = nn.Parameter(conv.noise.weight * noise * SQRT2)
        self.bias = nn.Parameter(conv.activate.bias * SQRT2)
        self.fir = None
        if conv.conv.up:
            self.fir = nn.Parameter(conv.conv.blur.kernel.repeat(len(self.bias), 1, 1, 1))

    def forward(self, x: Tensor, code: Tensor, weight: Tensor, weight_energy: Tensor) -> Tensor:
        style = self.modulation(code)
        weight_energy = weight_energy.t() if self.fir is None else weight_energy
        demodulation = SQRT2 * torch.rsqrt((style * style) @ weight_energy + DEMODULATION_EPS)
        demodulation = demodulation[:, :, None, None]
        x = x * style[:, :, None, None]
        if self.fir is None:
            y = F.conv2d(x, weight, padding=1) * demodulation + self.bias.view(1, -1, 1, 1)
        else:
            y = F.conv_transpose2d(x, weight, stride=2) * demodulation
            y = F.conv2d(y, self.fir, self.bias, padding=1, groups=len(self.bias))
        return F.leaky_relu(y + self.noise, LEAKY_SLOPE)


class SynthesisToRGB(nn.Module):
    """``conv(x * s, W') + bias``, added to the upsampled image of the level below."""

    def __init__(self, to_rgb: ToRGB) -> None:
        super().__init__()
        self.modulation = folded_modulation(to_rgb.conv.modulation)
        self.bias = to_rgb.bias
        self.upsample = getattr(to_rgb, "upsample", None)

    def forward(self, x: Tensor, code: Tensor, weight: Tensor, skip: Tensor | None) -> Tensor:
        rgb = F.conv2d(x * self.modulation(code)[:, :, None, None], weight) + self.bias
        return rgb if skip is None or self.upsample is None else rgb + self.upsample(skip)


class SynthesisStage(nn.Module):
    """Codes and tuned weights to the image and the reconstruction that the next refinement step looks at.

    ``codes`` is [N, n_styles, 512] float32 with a free N: the weights are one person's, so every row is an edit of that
    person. ``weights`` and ``energies`` hold the tuned layers' tensors in the order of the layer table; untuned layers
    keep theirs inside. The image is cropped to ``image_rows``; the reconstruction is average-pooled to 256x256, then
    cropped to ``reconstruction_rows``.
    """

    def __init__(
        self,
        generator: Generator,
        layers: tuple[Layer, ...],
        image_rows: tuple[int, int],
        reconstruction_rows: tuple[int, int],
    ) -> None:
        super().__init__()
        self.layers, self.image_rows, self.reconstruction_rows = layers, image_rows, reconstruction_rows
        self.pool = layers[-1].resolution // 256
        self.constant = generator.input.input
        self.convs, self.fixed_weights, self.fixed_energies = nn.ModuleDict(), nn.ParameterDict(), nn.ParameterDict()
        noises = iter(generator.noises.buffers())
        for layer in layers:
            module = generator.get_submodule(layer.name)
            if isinstance(module, StyledConv):
                self.convs[str(layer.index)] = SynthesisConv(module, next(noises))
            elif isinstance(module, ToRGB):
                self.convs[str(layer.index)] = SynthesisToRGB(module)
            if not layer.tuned:
                self.fixed_weights[str(layer.index)] = base_weight(generator, layer)
                if layer.demodulated:
                    self.fixed_energies[str(layer.index)] = energy(base_weight(generator, layer))

    def forward(self, codes: Tensor, weights: list[Tensor], energies: list[Tensor]) -> tuple[Tensor, Tensor]:
        tuned_weights, tuned_energies = iter(weights), iter(energies)
        x, rgb = self.constant.expand(codes.shape[0], -1, -1, -1), None
        for layer in self.layers:
            conv, code = self.convs[str(layer.index)], codes[:, layer.style]
            weight = next(tuned_weights) if layer.tuned else self.fixed_weights[str(layer.index)]
            if not layer.demodulated:
                rgb = conv(x, code, weight, rgb)
            else:
                x = conv(
                    x, code, weight, next(tuned_energies) if layer.tuned else self.fixed_energies[str(layer.index)]
                )
        assert rgb is not None
        pooled = F.avg_pool2d(rgb, self.pool) if self.pool > 1 else rgb
        return rgb[:, :, slice(*self.image_rows)], pooled[:, :, slice(*self.reconstruction_rows)]
