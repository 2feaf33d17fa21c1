"""Convolutional networks in 16 bits: batch norms folded first, what follows a pooled mean left in float32."""

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.encoders import FlattenedHead
from ..networks.layers import EqualLinear
from ..networks.trunk import SqueezeExcitation
from ..precision import Precision, widen

Network = TypeVar("Network", bound=nn.Module)


def reduced(network: Network, precision: Precision) -> Network:
    """The network in the precision's dtype, activations as well as constants; for float32 it stays as it is.

    A batch norm goes into the convolution before it, where there is one. So a convolution whose weights, and the
    variance behind them, are large meets 16 bits only as the product of both. The result's modules are its own.
    """
    tensors = (*network.parameters(), *network.buffers())
    # Modules are copied, tensors are not: those that change are replaced.
    copied = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    if precision.rescaled:
        _reduce(copied, precision)
    return copied


def _reduce(module: nn.Module, precision: Precision) -> nn.Module:
    if isinstance(module, (EqualLinear, FlattenedHead)):
        return module  # behind the last convolution: float32
    if isinstance(module, SqueezeExcitation):
        return Float32Gate(module, precision)
    if isinstance(module, nn.BatchNorm2d):
        return ChannelAffine(module, precision)
    # These networks register their layers in the order in which data passes them.
    for (name, first), (after, second) in pairwise(list(module.named_children())):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(first, second))
            setattr(module, after, nn.Identity())
    for name, child in module.named_children():
        setattr(module, name, _reduce(child, precision))
    for name, tensor in list(module.named_parameters(recurse=False)):
        setattr(module, name, precision.parameter(tensor))
    return module


class ChannelAffine(nn.Module):
    """A batch norm that no convolution can take, since the next one pads its result with zeros: ``x * a + b``."""

    def __init__(self, norm: nn.BatchNorm2d, precision: Precision) -> None:
        super().__init__()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.factor = precision.parameter(factor.view(-1, 1, 1))
        self.shift = precision.parameter((norm.bias - factor * norm.running_mean).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift


class Float32Gate(nn.Module):
    """Channel attention: the mean over up to 128x128 pixels, and the two small layers behind it, in float32."""

    def __init__(self, attention: SqueezeExcitation, precision: Precision) -> None:
        super().__init__()
        self.attention, self.precision = attention, precision

    def forward(self, x: Tensor) -> Tensor:
        return x * self.precision.narrow(self.attention.gate(widen(x)))
