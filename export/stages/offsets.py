"""Stages `offsets` and `weights`: from offset codes to weight offsets, and on to tuned weights and energies."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from ...runtime.manifest.layers import Layer
from ..networks.hypernetwork import (
    ChannelRefinement,
    HyperNetwork,
    SeparableRefinement,
    SharedHypernet,
    SharedRefinement,
)
from ..networks.stylegan2 import Generator
from ..precision import FLOAT32, Precision, power_of_two, split_peak, widen
from .scales import weight_scales


class CodeMap(nn.Module):
    """``matrix @ z + bias`` for every row z of codes: [n, code] to [n, m]; codes, bias and result are float32.

    In 16 bits the matrix is stored over a power of two and every row is divided by its peak, so that no product passes
    a code's length whatever the checkpoint and however many steps were summed. Both factors come back in float32.

    The matrix is multiplied from the left: on that side ONNX Runtime reads constants where they are mapped from the
    file, while it packs a copy of those on the right.
    """

    def __init__(self, matrix: Tensor, precision: Precision) -> None:
        super().__init__()
        self.precision = precision
        self.scale, self.matrix = scaled(matrix, precision)

    def forward(self, codes: Tensor, bias: Tensor) -> Tensor:
        if not self.precision.rescaled:
            return self._product(codes) + bias
        unit, peak = split_peak(codes)
        return widen(self._product(self.precision.narrow(unit))) * (peak * self.scale) + bias

    def _product(self, codes: Tensor) -> Tensor:
        # A column from a reshape, not a transposition: fused into the product, that would cost half its speed.
        columns = codes.reshape(self.matrix.shape[1], 1) if len(codes) == 1 else codes.t()
        return (self.matrix @ columns).t()


class SharedOffsets(nn.Module):
    """Offsets of all layers behind the shared hypernetwork: w2 is read once for all of them.

    ``sum_t (z_t @ w2 + b2) @ w1 + b1 = (z @ w2 + T b2) @ w1 + T b1`` with ``z = sum_t z_t``. w2 (537 MB) is stored
    transposed and multiplied from the left: so a runtime streams its rows at memory speed without packing a copy of it.
    The second product stays one GEMM a layer: each result is written where its layer needs it, the bias inside.

    In 16 bits the codes' peaks and the scales of w1 and w2 come back between the products, where the tensor is small.
    So the second product gives the offsets themselves, and ends where offsets of 65504 would.
    """

    def __init__(self, shared: SharedHypernet, count: int, precision: Precision) -> None:
        super().__init__()
        self.count, self.channels, self.precision = count, shared.channels, precision
        self.b1, self.b2 = shared.b1, shared.b2
        self.scale1, self.w1 = scaled(shared.w1, precision)
        self.scale2, w2 = scaled(shared.w2, precision)
        self.w2_transposed = nn.Parameter(w2.t().contiguous())

    def forward(self, codes: Tensor, steps: Tensor, plus: float) -> list[Tensor]:
        hidden = self._hidden(codes, steps).reshape(self.count, self.channels, len(self.w1))
        shape = (self.channels, self.channels, 3, 3)
        if not self.precision.rescaled:
            bias = steps * self.b1 + plus
            return [torch.addmm(bias, hidden[i], self.w1).view(shape) for i in range(self.count)]
        bias = self.precision.narrow(steps * self.b1)
        offsets = [torch.addmm(bias, hidden[i], self.w1).view(shape) for i in range(self.count)]
        return [widen(offset) + plus for offset in offsets] if plus else offsets

    def _hidden(self, codes: Tensor, steps: Tensor) -> Tensor:
        """``z @ w2 + T b2``, [n, channels * hidden]."""
        if not self.precision.rescaled:
            return torch.addmm((steps * self.b2)[:, None], self.w2_transposed, codes.t()).t()
        unit, peak = split_peak(codes)
        product = widen(self.w2_transposed @ self.precision.narrow(unit).t()).t()
        hidden = product * (peak * self.scale2) + steps * self.b2
        return self.precision.narrow(hidden * self.scale1)


class ChannelOffsets(nn.Module):
    """One offset per (out, in): ``A @ z + T b``, [out, in]."""

    def __init__(self, block: ChannelRefinement, precision: Precision) -> None:
        super().__init__()
        projection = block.project()
        assert projection.bias is not None
        self.map, self.bias = CodeMap(projection.weight.flatten(1), precision), projection.bias
        self.shape = block.shape[:2]

    def forward(self, code: Tensor, steps: Tensor, plus: float) -> Tensor:
        return self.map(code[None], steps * self.bias + plus).view(self.shape)


class SeparableOffsets(nn.Module):
    """The bilinear block, summed over the steps: per tap ``U^T V + T c`` with U, V affine in the codes of every step.

    With u = L_out (M_out z + m_out) and v = L_in (M_in z + m_in), the published block is u v^T + c for every tap and
    c[o, i] = b_out[o] + b_in[i] * sum_j L_out[o, j]: its two linear maps fold into those that make the kernel. The sum
    over the steps is as short as they are few, and stays float32.
    """

    def __init__(self, block: SeparableRefinement, precision: Precision) -> None:
        super().__init__()
        kernel = block.kernel()
        self.taps, self.kernel = kernel.taps, kernel.kernel
        left, self.left_bias = _folded(kernel.make_kernel_out, kernel.kernel_linear_out, self.taps)
        right, self.right_bias = _folded(kernel.make_kernel_in, kernel.kernel_linear_in, self.taps)
        self.left, self.right = CodeMap(left, precision), CodeMap(right, precision)
        constant = torch.outer(kernel.kernel_linear_out.weight.sum(1), kernel.kernel_linear_in.bias)
        self.constant = nn.Parameter(constant + kernel.kernel_linear_out.bias[:, None])

    def forward(self, codes: Tensor, steps: Tensor, plus: float) -> Tensor:
        left = self.left(codes, self.left_bias).unflatten(1, (-1, self.taps)).permute(2, 1, 0)
        right = self.right(codes, self.right_bias).unflatten(1, (-1, self.taps)).permute(2, 0, 1)
        offset = (left @ right).permute(1, 2, 0) + (steps * self.constant + plus)[:, :, None]
        return offset.unflatten(2, (self.kernel, self.kernel))


def scaled(matrix: Tensor, precision: Precision) -> tuple[float, nn.Parameter]:
    """The power of two at a matrix's peak, and the matrix over it in the precision's dtype; for float32 1 and it."""
    if not precision.rescaled:
        return 1.0, nn.Parameter(matrix)
    scale = power_of_two(torch.stack(torch.aminmax(matrix)).abs().max())
    return float(scale), precision.parameter(matrix / scale)


def _folded(make: nn.Linear, mix: nn.Linear, taps: int) -> tuple[Tensor, nn.Parameter]:
    """``mix`` (without its bias) after ``make``, the taps moved behind the channels, as one matrix and bias."""
    channels = mix.in_features
    weight = torch.einsum("oc,tcz->otz", mix.weight, make.weight.view(taps, channels, -1))
    bias = torch.einsum("oc,tc->ot", mix.weight, make.bias.view(taps, channels))
    return weight.reshape(channels * taps, -1), nn.Parameter(bias.reshape(-1))


class OffsetsStage(nn.Module):
    """Offset codes to weight offsets, for every tuned layer.

    ``offset_codes`` is [K, n_tuned, code] float32 and ``steps`` a float32 scalar T. For the affine hypernetwork the
    codes may come summed (K = 1); the bilinear one needs those of every step (K = T). Per layer the result is
    [out, in] where the offset is tiled over the kernel ("channel") and [out, in, k, k] elsewhere. With ``kept`` it is
    for the layers with these indices alone.
    """

    def __init__(
        self,
        hypernet: HyperNetwork,
        layers: tuple[Layer, ...],
        precision: Precision = FLOAT32,
        kept: Collection[int] | None = None,
    ) -> None:
        super().__init__()
        self.precision = precision
        rows = enumerate(layer for layer in layers if layer.tuned)
        chosen = [(row, layer) for row, layer in rows if kept is None or layer.index in kept]
        self.rows, self.tuned = [row for row, _ in chosen], tuple(layer for _, layer in chosen)
        refinements = [hypernet.refinement_blocks[str(layer.index)] for layer in self.tuned]
        blocks = zip(self.rows, refinements, strict=True)
        self.shared_rows = [row for row, block in blocks if isinstance(block, SharedRefinement)]
        if self.shared_rows:
            # By index_select, which becomes a Gather; what a list in brackets becomes computes shapes.
            self.register_buffer("shared_index", torch.tensor(self.shared_rows), persistent=False)
            self.shared = SharedOffsets(hypernet.shared_weight_hypernet, len(self.shared_rows), precision)
        self.blocks = nn.ModuleDict()
        for layer, block in zip(self.tuned, refinements, strict=True):
            if isinstance(block, ChannelRefinement):
                self.blocks[str(layer.index)] = ChannelOffsets(block, precision)
            elif isinstance(block, SeparableRefinement):
                self.blocks[str(layer.index)] = SeparableOffsets(block, precision)

    def forward(self, offset_codes: Tensor, steps: Tensor) -> list[Tensor]:
        return [self.precision.narrow(offset) for offset in self.sums(offset_codes, steps, 0.0)]

    def sums(self, offset_codes: Tensor, steps: Tensor, plus: float) -> list[Tensor]:
        """``offset + plus``, float32 (where ``plus`` is 0, maybe in the precision's dtype already).

        With ``plus`` = 1 this is the factor of the weights. In float32 it is added inside the products: that spares
        another pass over 94 MB. In 16 bits it is added behind them: an offset of 1/1000 would not survive the sum.
        """
        summed = offset_codes.sum(0)
        shared = iter(())
        if self.shared_rows:
            shared = iter(self.shared(summed.index_select(0, self.shared_index), steps, plus))
        offsets: list[Tensor] = []
        for row, layer in zip(self.rows, self.tuned, strict=True):
            if row in self.shared_rows:
                offsets.append(next(shared))
            elif layer.offset == "channel":
                offsets.append(self.blocks[str(layer.index)](summed[row], steps, plus))
            else:
                offsets.append(self.blocks[str(layer.index)](offset_codes[:, row], steps, plus))
        return offsets


class WeightsStage(nn.Module):
    """Offset codes to tuned weights ``W' = scale * W * (1 + offset)`` and energies ``sum_k W'^2``.

    Weights come in the layout of the convolution that takes them: [out, in, k, k], for an up-convolution
    [in, out, k, k]; an energy has the first two axes of its weight. A channel-wise offset leaves the kernel's shape
    alone, so there the energy is the stored one times ``(1 + offset)^2``. toRGB layers have no energy. Energies are
    float32, and so are the factors ``1 + offset`` and their products, which are rounded once.
    """

    def __init__(self, offsets: OffsetsStage, generator: Generator) -> None:
        super().__init__()
        self.offsets, self.precision = offsets, offsets.precision
        self.base = nn.ParameterDict()
        self.base_energy = nn.ParameterDict()
        for layer in offsets.tuned:
            weight = base_weight(generator, layer, self.precision)
            self.base[str(layer.index)] = weight
            if layer.offset == "channel" and layer.demodulated:
                self.base_energy[str(layer.index)] = energy(weight)

    def forward(self, offset_codes: Tensor, steps: Tensor) -> list[Tensor]:
        weights, energies = [], []
        gains = self.offsets.sums(offset_codes, steps, 1.0)
        for layer, out_in in zip(self.offsets.tuned, gains, strict=True):
            gain = out_in.transpose(0, 1) if layer.up else out_in
            base = widen(self.base[str(layer.index)])
            if layer.offset == "channel":
                weights.append(self.precision.narrow(base * gain[:, :, None, None]))
                if layer.demodulated:
                    energies.append(self.base_energy[str(layer.index)] * gain * gain)
            else:
                weight = base * gain
                weights.append(self.precision.narrow(weight))
                energies.append(energy(weight))
        return weights + energies


def base_weight(generator: Generator, layer: Layer, precision: Precision = FLOAT32) -> Tensor:
    """The layer's untuned weights ``scale * W`` in the layout of the convolution that takes them.

    In 16 bits each output channel is over its ``weight_scales``; `synthesis` accounts for that.
    """
    conv = generator.get_submodule(layer.name).get_submodule("conv")
    weight = conv.scale * conv.weight[0]
    if precision.rescaled:
        weight = precision.narrow(weight / weight_scales(generator, layer, precision)[:, None, None, None])
    return weight.transpose(0, 1).contiguous() if layer.up else weight


def energy(weight: Tensor) -> Tensor:
    """``sum_k W[., ., k]^2``, float32: what demodulation needs of the weights once the style is on the activations."""
    weight = widen(weight)
    return (weight * weight).sum((2, 3))
