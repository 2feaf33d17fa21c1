"""Stage `synthesis`: codes and tuned weights to the image and its reconstruction, for any number of codes at once."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.manifest.layers import Layer
from ...runtime.manifest.manifest import ImageSpec
from ..networks.layers import DEMODULATION_EPS, LEAKY_SLOPE, SQRT2, EqualLinear
from ..networks.stylegan2 import Generator, StyledConv, ToRGB
from ..precision import Precision, split_peak, widen
from .offsets import base_weight, energy
from .resampling import AveragePool
from .scales import ActivationScales, weight_scales

#: A channel that needs more is one that the style all but switches off, or a dead one; FP16 ends at 65504.
LARGEST_DEMODULATION = 8192.0


def folded_modulation(modulation: EqualLinear) -> nn.Linear:
    """The style's affine map with the equalized learning rate folded in."""
    linear = nn.Linear(modulation.weight.shape[1], modulation.weight.shape[0])
    linear.weight = nn.Parameter(modulation.weight * modulation.scale)
    linear.bias = nn.Parameter(modulation.bias * modulation.lr_mul)
    return linear


def styled(modulation: nn.Linear, code: Tensor, added: Tensor | None) -> Tensor:
    """The style that a layer's affine map makes of a code [N, width], and what is added to it [N, channels]."""
    style: Tensor = modulation(code)
    return style if added is None else style + added


def folded_noises(generator: Generator, precision: Precision, scales: ActivationScales) -> list[Tensor]:
    """Each 3x3 convolution's noise [1, 1, H, W], in order, the learned strength and the activation's gain folded in.

    In 16 bits it is over the scale of the layer's output.
    """
    convs = zip([generator.conv1, *generator.convs], generator.noises.buffers(), scales.outputs.values(), strict=True)
    return [precision.narrow(conv.noise.weight * noise * SQRT2 / scale) for conv, noise, scale in convs]


class SynthesisConv(nn.Module):
    """``leaky_relu(conv(x * s, W') * d + noise + bias)`` with ``d = sqrt(2) * rsqrt(energy @ s^2 + eps)``.

    leaky_relu commutes with the positive gain sqrt(2), so it moves into d, the noise (its strength folded in) and the
    bias. In an up-convolution d commutes with the blur, which then takes the bias along. For a single code s and d may
    go onto the weights instead: ``conv(x, s * W' * d)``, the same sum in another order.

    In 16 bits s is divided by its peak, W' came divided by its scale, and x and the result are over ``scales``: d, in
    float32 throughout, makes up for all of them, once eps is divided by the squares of the first two.
    """

    def __init__(
        self,
        conv: StyledConv,
        styled_weights: bool,
        precision: Precision,
        scales: tuple[float, float],
        weight_scales: Tensor,
    ) -> None:
        super().__init__()
        before, after = scales
        self.precision, self.styled_weights = precision, styled_weights
        self.modulation = folded_modulation(conv.conv.modulation)
        self.gain = SQRT2 * before / after
        # A vector, because the exporter takes a scalar of 1e-8 for zero and drops the sum.
        self.eps = nn.Parameter(DEMODULATION_EPS / weight_scales.square())
        self.bias = precision.parameter(conv.activate.bias * SQRT2 / after)
        self.fir = None
        if conv.conv.up:
            self.fir = precision.parameter(conv.conv.blur.correlated().repeat(len(self.bias), 1, 1, 1))
            self.fir_padding = conv.conv.blur.padding

    def forward(
        self, x: Tensor, code: Tensor, weight: Tensor, weight_energy: Tensor, noise: Tensor, added: Tensor | None = None
    ) -> Tensor:
        up = self.fir is not None
        style, eps = styled(self.modulation, code, added), self.eps
        if self.precision.rescaled:
            style, peak = split_peak(style)
            eps = eps / (peak * peak)
        in_out = weight_energy if up else weight_energy.t()
        demodulation = self.gain * torch.rsqrt(torch.addmm(eps, style * style, in_out))
        if self.styled_weights:
            gain = torch.outer(style[0], demodulation[0])
            weight = widen(weight) * (gain if up else gain.t())[:, :, None, None]
            y = self._convolve(x, self.precision.narrow(weight), None)
        else:
            if self.precision.rescaled:
                demodulation = demodulation.clamp_max(LARGEST_DEMODULATION)
            style, demodulation = self.precision.narrow(style), self.precision.narrow(demodulation)
            y = self._convolve(x * style[:, :, None, None], weight, demodulation[:, :, None, None])
        return F.leaky_relu(y + noise, LEAKY_SLOPE)

    def _convolve(self, x: Tensor, weight: Tensor, demodulation: Tensor | None) -> Tensor:
        """The convolution, demodulated, with its bias."""
        if self.fir is not None:
            y = F.conv_transpose2d(x, weight, stride=2)
            y = y if demodulation is None else y * demodulation
            return F.conv2d(y, self.fir, self.bias, padding=self.fir_padding, groups=len(self.bias))
        if demodulation is None:
            return F.conv2d(x, weight, self.bias, padding=1)
        return F.conv2d(x, weight, padding=1) * demodulation + self.bias.view(1, -1, 1, 1)


class SynthesisToRGB(nn.Module):
    """``conv(x * s, W') + bias``, added to the upsampled image of the level below; for one code s may go onto W'.

    Nothing is demodulated here: in 16 bits the style's peak, the scale of W' and that of x come back in float32, in
    which the levels are added up.
    """

    def __init__(
        self, to_rgb: ToRGB, styled_weights: bool, precision: Precision, scale: float, weight_scales: Tensor
    ) -> None:
        super().__init__()
        self.precision, self.styled_weights = precision, styled_weights
        self.modulation = folded_modulation(to_rgb.conv.modulation)
        self.bias = nn.Parameter(to_rgb.bias.flatten())
        self.factor = nn.Parameter(scale * weight_scales)
        self.upsample = getattr(to_rgb, "upsample", None)

    def forward(
        self, x: Tensor, code: Tensor, weight: Tensor, skip: Tensor | None, added: Tensor | None = None
    ) -> Tensor:
        style = styled(self.modulation, code, added)
        if self.precision.rescaled:
            style, peak = split_peak(style)
            factor = (peak * self.factor)[:, :, None, None]
            rgb = widen(self._convolve(x, style, weight, None)) * factor + self.bias.view(1, -1, 1, 1)
        else:
            rgb = self._convolve(x, style, weight, self.bias)
        return rgb if skip is None or self.upsample is None else rgb + self.upsample(skip)

    def _convolve(self, x: Tensor, style: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.styled_weights:
            return F.conv2d(x, self.precision.narrow(widen(weight) * style[0][None, :, None, None]), bias)
        return F.conv2d(x * self.precision.narrow(style)[:, :, None, None], weight, bias)


class Drawing(nn.Module):
    """The generator for one person's weights: codes [N, styles, width] float32 to pictures, with a free N.

    Every row is an edit of that person. ``weights`` and ``energies`` hold the tuned layers' tensors in the order of the
    layer table; untuned layers keep theirs inside. ``noises`` are ``folded_noises``: were they constants, compilers
    would add them to biases and keep the sums, as large as all activations (0.54 GB at 1024).

    ``single`` is the form for N = 1, which the loop runs: there the style goes onto whatever is smaller, a layer's
    weights or its input, so that no large activation is read and written again only to be scaled.
    """

    def __init__(
        self,
        generator: Generator,
        layers: tuple[Layer, ...],
        single: bool,
        precision: Precision,
        scales: ActivationScales,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.convs, self.fixed_weights, self.fixed_energies = nn.ModuleDict(), nn.ParameterDict(), nn.ParameterDict()
        scale = scales.constant
        self.constant = precision.parameter(generator.input.input / scale)
        for layer in layers:
            module = generator.get_submodule(layer.name)
            styled_weights = single and math.prod(layer.weight_shape) < layer.in_channels * layer.input_resolution**2
            divisors = weight_scales(generator, layer, precision)
            if isinstance(module, StyledConv):
                before, scale = scale, scales.outputs[layer.index]
                self.convs[str(layer.index)] = SynthesisConv(
                    module, styled_weights, precision, (before, scale), divisors
                )
            elif isinstance(module, ToRGB):
                self.convs[str(layer.index)] = SynthesisToRGB(module, styled_weights, precision, scale, divisors)
            if not layer.tuned:
                weight = base_weight(generator, layer, precision)
                self.fixed_weights[str(layer.index)] = weight
                if layer.demodulated:
                    self.fixed_energies[str(layer.index)] = energy(weight)

    def forward(
        self,
        codes: Tensor,
        weights: list[Tensor],
        energies: list[Tensor],
        noises: list[Tensor],
        styles: Tensor | None = None,
    ) -> Tensor:
        """``styles`` [N, channels of all layers] are added to the layers' styles."""
        added: list[Tensor | None] = [None] * len(self.layers)
        if styles is not None:
            added = list(styles.split([layer.in_channels for layer in self.layers], 1))
        tuned_weights, tuned_energies, layer_noises = iter(weights), iter(energies), iter(noises)
        x, rgb = self.constant, None  # for all codes; the first style gives it their number
        for layer, more in zip(self.layers, added, strict=True):
            conv, code = self.convs[str(layer.index)], codes[:, layer.style]
            weight = next(tuned_weights) if layer.tuned else self.fixed_weights[str(layer.index)]
            if not layer.demodulated:
                rgb = conv(x, code, weight, rgb, more)
            else:
                weight_energy = next(tuned_energies) if layer.tuned else self.fixed_energies[str(layer.index)]
                x = conv(x, code, weight, weight_energy, next(layer_noises), more)
        assert rgb is not None
        return rgb


class Reconstruction(nn.Module):
    """A drawing as the networks look at it: average-pooled to the input's width, of which the middle rows are kept."""

    def __init__(self, size: int, image: ImageSpec) -> None:
        super().__init__()
        self.pool = AveragePool(size, image.input_width)
        first = (image.input_width - image.input_height) // 2
        self.rows = (first, first + image.input_height)

    def forward(self, drawing: Tensor) -> Tensor:
        return self.pool(drawing)[:, :, slice(*self.rows)]


class SynthesisStage(nn.Module):
    """Codes and tuned weights to the image and the reconstruction that the next refinement step looks at.

    The image is the drawing cropped to its rows. Both are float32.
    """

    def __init__(self, drawing: Drawing, image: ImageSpec) -> None:
        super().__init__()
        self.drawing, self.rows = drawing, image.rows
        self.reconstruction = Reconstruction(drawing.layers[-1].resolution, image)

    def forward(
        self, codes: Tensor, weights: list[Tensor], energies: list[Tensor], noises: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        return self.results(self.drawing(codes, weights, energies, noises))

    def results(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """The image and the reconstruction of a drawing."""
        return rgb[:, :, slice(*self.rows)], self.reconstruction(rgb)


class StyledSynthesisStage(SynthesisStage):
    """The same for codes and what is added to the styles that layers make of them (StyleSpace)."""

    def forward(  # type: ignore[override]
        self, codes: Tensor, styles: Tensor, weights: list[Tensor], energies: list[Tensor], noises: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        return self.results(self.drawing(codes, weights, energies, noises, styles))


class EncoderSynthesisStage(nn.Module):
    """Codes to the reconstruction alone, with a generator that nothing tunes: what a ReStyle encoder looks at."""

    def __init__(self, drawing: Drawing, image: ImageSpec) -> None:
        super().__init__()
        self.drawing = drawing
        self.reconstruction = Reconstruction(drawing.layers[-1].resolution, image)

    def forward(self, codes: Tensor, noises: list[Tensor]) -> Tensor:
        return self.reconstruction(self.drawing(codes, [], [], noises))
