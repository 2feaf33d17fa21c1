"""Stages `offsets` and `weights`: from offset codes to weight offsets, and on to tuned weights and energies."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.layers import Layer
from ..networks.hypernetwork import ChannelRefinement, HyperNetwork, SeparableRefinement, SharedHypernet
from ..networks.stylegan2 import Generator


class SharedOffsets(nn.Module):
    """Offsets of all layers behind the shared hypernetwork: w2 is read once for all of them.

    ``sum_t (z_t @ w2 + b2) @ w1 + b1 = (z @ w2 + T b2) @ w1 + T b1`` with ``z = sum_t z_t``. w2 (537 MB) is stored
    transposed and multiplied from the left: so a runtime streams its rows at memory speed without packing a copy of it.
    The second product stays one GEMM a layer: each result is written where its layer needs it, the bias inside.
    """

    def __init__(self, shared: SharedHypernet, count: int) -> None:
        super().__init__()
        self.w1, self.b1, self.b2 = shared.w1, shared.b1, shared.b2
        self.w2_transposed = nn.Parameter(shared.w2.t().contiguous())
        self.count = count

    def forward(self, codes: Tensor, steps: Tensor, plus: float) -> list[Tensor]:
        hidden = torch.addmm(steps * self.b2[:, None], self.w2_transposed, codes.t())
        hidden = hidden.t().reshape(self.count, 512, 512)
        bias = steps * self.b1 + plus
        return [torch.addmm(bias, hidden[i], self.w1).view(512, 512, 3, 3) for i in range(self.count)]


class ChannelOffsets(nn.Module):
    """One offset per (out, in): ``A @ z + T b``, [out, in]."""

    def __init__(self, block: ChannelRefinement) -> None:
        super().__init__()
        projection = block.project()
        assert projection.bias is not None
        self.matrix, self.bias = nn.Parameter(projection.weight.flatten(1)), projection.bias
        self.shape = block.shape[:2]

    def forward(self, code: Tensor, steps: Tensor, plus: float) -> Tensor:
        return F.linear(code[None], self.matrix, steps * self.bias + plus).view(self.shape)


class SeparableOffsets(nn.Module):
    """The bilinear block, summed over the steps: per tap ``U^T V + T c`` with U, V affine in the codes of every step.

    With u = L_out (M_out z + m_out) and v = L_in (M_in z + m_in), the published block is u v^T + c for every tap and
    c[o, i] = b_out[o] + b_in[i] * sum_j L_out[o, j]: its two linear maps fold into those that make the kernel.
    """

    def __init__(self, block: SeparableRefinement) -> None:
        super().__init__()
        kernel = block.kernel()
        self.taps, self.kernel = kernel.taps, kernel.kernel
        self.left = _folded(kernel.make_kernel_out, kernel.kernel_linear_out, self.taps)
        self.right = _folded(kernel.make_kernel_in, kernel.kernel_linear_in, self.taps)
        constant = torch.outer(kernel.kernel_linear_out.weight.sum(1), kernel.kernel_linear_in.bias)
        self.constant = nn.Parameter(constant + kernel.kernel_linear_out.bias[:, None])

    def forward(self, codes: Tensor, steps: Tensor, plus: float) -> Tensor:
        left = self.left(codes).unflatten(1, (-1, self.taps)).permute(2, 1, 0)
        right = self.right(codes).unflatten(1, (-1, self.taps)).permute(2, 0, 1)
        offset = (left @ right).permute(1, 2, 0) + (steps * self.constant + plus)[:, :, None]
        return offset.unflatten(2, (self.kernel, self.kernel))


def _folded(make: nn.Linear, mix: nn.Linear, taps: int) -> nn.Linear:
    """``mix`` (without its bias) after ``make``, the taps moved behind the channels, as one linear map."""
    channels = mix.in_features
    folded = nn.Linear(make.in_features, channels * taps)
    weight = torch.einsum("oc,tcz->otz", mix.weight, make.weight.view(taps, channels, -1))
    folded.weight = nn.Parameter(weight.reshape(channels * taps, -1))
    folded.bias = nn.Parameter(torch.einsum("oc,tc->ot", mix.weight, make.bias.view(taps, channels)).reshape(-1))
    return folded


class OffsetsStage(nn.Module):
    """Offset codes to weight offsets, for every tuned layer.

    ``offset_codes`` is [K, n_tuned, 512] float32 and ``steps`` a float32 scalar T. For the affine hypernetwork the
    codes may come summed (K = 1); the bilinear one needs those of every step (K = T). Per layer the result is
    [out, in] where the offset is tiled over the kernel ("channel") and [out, in, k, k] elsewhere. ``plus`` is added to
    every offset inside the products: 1 gives ``1 + offset`` without another pass over 94 MB.
    """

    def __init__(self, hypernet: HyperNetwork, layers: tuple[Layer, ...]) -> None:
        super().__init__()
        self.tuned = tuple(layer for layer in layers if layer.tuned)
        self.shared_rows = [row for row, layer in enumerate(self.tuned) if layer.offset == "shared"]
        if self.shared_rows:
            self.shared = SharedOffsets(hypernet.shared_weight_hypernet, len(self.shared_rows))
        self.blocks = nn.ModuleDict()
        for layer in self.tuned:
            block = hypernet.refinement_blocks[str(layer.index)]
            if isinstance(block, ChannelRefinement):
                self.blocks[str(layer.index)] = ChannelOffsets(block)
            elif isinstance(block, SeparableRefinement):
                self.blocks[str(layer.index)] = SeparableOffsets(block)

    def forward(self, offset_codes: Tensor, steps: Tensor, plus: float = 0.0) -> list[Tensor]:
        summed = offset_codes.sum(0)
        shared = iter(())
        if self.shared_rows:
            shared = iter(self.shared(summed[self.shared_rows], steps, plus))
        offsets: list[Tensor] = []
        for row, layer in enumerate(self.tuned):
            if layer.offset == "shared":
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
    alone, so there the energy is the stored one times ``(1 + offset)^2``. toRGB layers have no energy.
    """

    def __init__(self, offsets: OffsetsStage, generator: Generator) -> None:
        super().__init__()
        self.offsets = offsets
        self.base = nn.ParameterDict()
        self.base_energy = nn.ParameterDict()
        for layer in offsets.tuned:
            weight = base_weight(generator, layer)
            self.base[str(layer.index)] = weight
            if layer.offset == "channel" and layer.demodulated:
                self.base_energy[str(layer.index)] = energy(weight)

    def forward(self, offset_codes: Tensor, steps: Tensor) -> list[Tensor]:
        weights, energies = [], []
        gains = self.offsets(offset_codes, steps, plus=1.0)
        for layer, out_in in zip(self.offsets.tuned, gains, strict=True):
            gain = out_in.transpose(0, 1) if layer.up else out_in
            base = self.base[str(layer.index)]
            if layer.offset == "channel":
                weights.append(base * gain[:, :, None, None])
                if layer.demodulated:
                    energies.append(self.base_energy[str(layer.index)] * gain * gain)
            else:
                weights.append(base * gain)
                energies.append(energy(weights[-1]))
        return weights + energies


def base_weight(generator: Generator, layer: Layer) -> Tensor:
    """The layer's untuned weights ``scale * W`` in the layout of the convolution that takes them."""
    conv = generator.get_submodule(layer.name).get_submodule("conv")
    weight = conv.scale * conv.weight[0]
    return weight.transpose(0, 1).contiguous() if layer.up else weight


def energy(weight: Tensor) -> Tensor:
    """``sum_k W[., ., k]^2``: what demodulation needs of the weights once the style is on the activations."""
    return (weight * weight).sum((2, 3))
