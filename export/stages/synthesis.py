"""Stage `synthesis`: codes and tuned weights to the image and its reconstruction, for any number of codes at once."""

import math

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


def folded_noises(generator: Generator) -> list[Tensor]:
    """Each 3x3 convolution's noise [1, 1, H, W], in order, the learned strength and the activation's gain folded in."""
    convs = [generator.conv1, *generator.convs]
    return [conv.noise.weight * noise * SQRT2 for conv, noise in zip(convs, generator.noises.buffers(), strict=True)]


class SynthesisConv(nn.Module):
    """``leaky_relu(conv(x * s, W') * d + noise + bias)`` with ``d = sqrt(2) * rsqrt(energy @ s^2 + eps)``.

    leaky_relu commutes with the positive gain sqrt(2), so it moves into d, the noise (its strength folded in) and the
    bias. In an up-convolution d commutes with the blur, which then takes the bias along. For a single code s and d may
    go onto the weights instead: ``conv(x, s * W' * d)``, the same sum in another order.
    """

    def __init__(self, conv: StyledConv, styled_weights: bool) -> None:
        super().__init__()
        self.modulation = folded_modulation(conv.conv.modulation)
        self.bias = nn.Parameter(conv.activate.bias * SQRT2)
        self.fir = nn.Parameter(conv.conv.blur.kernel.repeat(len(self.bias), 1, 1, 1)) if conv.conv.up else None
        self.styled_weights = styled_weights

    def forward(self, x: Tensor, code: Tensor, weight: Tensor, weight_energy: Tensor, noise: Tensor) -> Tensor:
        up = self.fir is not None
        style = self.modulation(code)
        in_out = weight_energy if up else weight_energy.t()
        demodulation = SQRT2 * torch.rsqrt((style * style) @ in_out + DEMODULATION_EPS)
        if self.styled_weights:
            gain = torch.outer(style[0], demodulation[0])
            y = self._convolve(x, weight * (gain if up else gain.t())[:, :, None, None], None)
        else:
            y = self._convolve(x * style[:, :, None, None], weight, demodulation[:, :, None, None])
        return F.leaky_relu(y + noise, LEAKY_SLOPE)

    def _convolve(self, x: Tensor, weight: Tensor, demodulation: Tensor | None) -> Tensor:
        """The convolution, demodulated, with its bias."""
        if self.fir is not None:
            y = F.conv_transpose2d(x, weight, stride=2)
            y = y if demodulation is None else y * demodulation
            return F.conv2d(y, self.fir, self.bias, padding=1, groups=len(self.bias))
        if demodulation is None:
            return F.conv2d(x, weight, self.bias, padding=1)
        return F.conv2d(x, weight, padding=1) * demodulation + self.bias.view(1, -1, 1, 1)


class SynthesisToRGB(nn.Module):
    """``conv(x * s, W') + bias``, added to the upsampled image of the level below; for one code s may go onto W'."""

    def __init__(self, to_rgb: ToRGB, styled_weights: bool) -> None:
        super().__init__()
        self.modulation = folded_modulation(to_rgb.conv.modulation)
        self.bias = nn.Parameter(to_rgb.bias.flatten())
        self.upsample = getattr(to_rgb, "upsample", None)
        self.styled_weights = styled_weights

    def forward(self, x: Tensor, code: Tensor, weight: Tensor, skip: Tensor | None) -> Tensor:
        style = self.modulation(code)
        if self.styled_weights:
            rgb = F.conv2d(x, weight * style[0][None, :, None, None], self.bias)
        else:
            rgb = F.conv2d(x * style[:, :, None, None], weight, self.bias)
        return rgb if skip is None or self.upsample is None else rgb + self.upsample(skip)


class SynthesisStage(nn.Module):
    """Codes and tuned weights to the image and the reconstruction that the next refinement step looks at.

    ``codes`` is [N, n_styles, 512] float32 with a free N: the weights are one person's, so every row is an edit of that
    person. ``weights`` and ``energies`` hold the tuned layers' tensors in the order of the layer table; untuned layers
    keep theirs inside. ``noises`` are ``folded_noises``: were they constants, compilers would add them to biases and
    keep the sums, as large as all activations (0.54 GB at 1024). The image is cropped to ``image_rows``; the
    reconstruction is average-pooled to 256x256, then cropped to ``reconstruction_rows``.

    ``single`` is the form for N = 1, which the loop runs: there the style goes onto whatever is smaller, a layer's
    weights or its input, so that no large activation is read and written again only to be scaled.
    """

    def __init__(
        self,
        generator: Generator,
        layers: tuple[Layer, ...],
        image_rows: tuple[int, int],
        reconstruction_rows: tuple[int, int],
        single: bool = False,
    ) -> None:
        super().__init__()
        self.layers, self.image_rows, self.reconstruction_rows = layers, image_rows, reconstruction_rows
        self.pool = layers[-1].resolution // 256
        self.constant = generator.input.input
        self.convs, self.fixed_weights, self.fixed_energies = nn.ModuleDict(), nn.ParameterDict(), nn.ParameterDict()
        for layer in layers:
            module = generator.get_submodule(layer.name)
            styled_weights = single and math.prod(layer.weight_shape) < layer.in_channels * layer.input_resolution**2
            if isinstance(module, StyledConv):
                self.convs[str(layer.index)] = SynthesisConv(module, styled_weights)
            elif isinstance(module, ToRGB):
                self.convs[str(layer.index)] = SynthesisToRGB(module, styled_weights)
            if not layer.tuned:
                self.fixed_weights[str(layer.index)] = base_weight(generator, layer)
                if layer.demodulated:
                    self.fixed_energies[str(layer.index)] = energy(base_weight(generator, layer))

    def forward(
        self, codes: Tensor, weights: list[Tensor], energies: list[Tensor], noises: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        tuned_weights, tuned_energies, layer_noises = iter(weights), iter(energies), iter(noises)
        x, rgb = self.constant, None  # for all codes; the first style gives it their number
        for layer in self.layers:
            conv, code = self.convs[str(layer.index)], codes[:, layer.style]
            weight = next(tuned_weights) if layer.tuned else self.fixed_weights[str(layer.index)]
            if not layer.demodulated:
                rgb = conv(x, code, weight, rgb)
            else:
                weight_energy = next(tuned_energies) if layer.tuned else self.fixed_energies[str(layer.index)]
                x = conv(x, code, weight, weight_energy, next(layer_noises))
        assert rgb is not None
        pooled = F.avg_pool2d(rgb, self.pool) if self.pool > 1 else rgb
        return rgb[:, :, slice(*self.image_rows)], pooled[:, :, slice(*self.reconstruction_rows)]
