"""How the backward of an operator is written with operators that ONNX has: the rules that PyTorch lacks.

docs/optimisation.md derives them. They are given to the tracer beside PyTorch's own decompositions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import ExportError

_ATEN = torch.ops.aten


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """A convolution's gradients with respect to its input, its weight and its bias, those that are ``wanted``.

    The input's is the transposed convolution with the same weight, and the other way round; where pictures are large
    beside their channels the plain convolution with the weight turned around, which runtimes are faster at. The
    weight's is one matrix product: see ``_weight_gradient``.
    """
    of_x = of_weight = of_bias = None
    around = [size - 1 - pad for size, pad in zip(weight.shape[2:], padding, strict=True)]
    if wanted[0] and transposed:
        of_x = F.conv2d(gradient, weight, None, stride, padding, dilation, groups)
    elif wanted[0] and {*stride, *dilation} == {1} and min(around) >= 0 and _turns(x, weight, groups):
        of_x = F.conv2d(gradient, _turned(weight, groups), None, padding=around, groups=groups)
    elif wanted[0]:
        # Rows at the end that no window reached.
        rest = [
            x.shape[axis + 2]
            - ((gradient.shape[axis + 2] - 1) * stride[axis] - 2 * padding[axis])
            - (dilation[axis] * (weight.shape[axis + 2] - 1) + 1)
            for axis in (0, 1)
        ]
        of_x = F.conv_transpose2d(gradient, weight, None, stride, padding, rest, groups, dilation)
    if wanted[1]:
        if groups != 1 or tuple(dilation) != (1, 1):
            raise ExportError("No rule for the weight's gradient of a grouped or dilated convolution")
        # In a transposed convolution input and output change roles.
        small, large = (x, gradient) if transposed else (gradient, x)
        of_weight = _weight_gradient(small, large, weight.shape[2:], stride, padding)
    if wanted[2]:
        of_bias = gradient.sum((0, 2, 3))
    return of_x, of_weight, of_bias


def _turns(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether turning the weight around is a small part of the convolution, and its groups are single channels."""
    small = x.shape[2] * x.shape[3] >= 4 * weight.shape[0]
    return small and (groups == 1 or groups == weight.shape[0] == x.shape[1])


def _turned(weight: Tensor, groups: int) -> Tensor:
    """The taps in reverse, and [O, I, k, k] as [I, O, k, k]; in groups of one channel there is nothing to exchange."""
    exchanged = weight.transpose(0, 1) if groups == 1 else weight
    taps = weight.shape[2] * weight.shape[3]
    return exchanged.flatten(2).index_select(2, torch.arange(taps - 1, -1, -1)).reshape(exchanged.shape)


def _weight_gradient(
    small: Tensor, large: Tensor, taps: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """``dW[o, i, a, b] = sum_nhw small[n, o, h, w] padded_large[n, i, h s + a, w s + b]``: one product for all taps.

    With a stride of 1 taps are split among the factors: ``large`` moves by rows, ``small`` against it by columns, so
    that k copies of each take the place of k * k of one.
    """
    height, width = small.shape[2:]
    if tuple(stride) == (1, 1):
        moved = [_moved(small, b - padding[1], taps[1] - 1 - b - padding[1]) for b in range(taps[1])]
        padded = F.pad(large, (0, 0, padding[0], padding[0]))
        shifted = [padded[:, :, a : a + height] for a in range(taps[0])]
    else:
        padded = F.pad(large, (padding[1], padding[1], padding[0], padding[0]))
        ends = (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1
        moved = [small]
        shifted = [
            padded[:, :, a : a + ends[0] : stride[0], b : b + ends[1] : stride[1]]
            for a in range(taps[0])
            for b in range(taps[1])
        ]
    product = (_rows(moved) @ _rows(shifted).t()).reshape(small.shape[1], len(moved), large.shape[1], len(shifted))
    return product.permute(0, 2, 3, 1).reshape(small.shape[1], large.shape[1], *taps)


def _moved(x: Tensor, left: int, right: int) -> Tensor:
    """Columns of zeros at both sides, or where there are fewer than none, columns cut off."""
    kept = x[..., max(-left, 0) : x.shape[-1] - max(-right, 0)]
    return F.pad(kept, (max(left, 0), max(right, 0)))


def _rows(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures [N, C, H, W] as a matrix: a row a channel of each, a channel's rows together."""
    rows = [picture.transpose(0, 1).flatten(1) for picture in pictures]
    return torch.stack(rows, 1).flatten(0, 1) if len(rows) > 1 else rows[0]


def avg_pool2d_backward(
    gradient: Tensor, x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], *_: Any
) -> Tensor:
    """Every pixel of a cell gets the cell's gradient over its number of pixels; cells do not overlap."""
    size = list(kernel) * 2 if len(kernel) == 1 else list(kernel)
    steps = list(stride) or size
    if (steps * 2)[:2] != size or any(padding):
        raise ExportError("No rule for the gradient of an average pooling whose cells overlap")
    return spread(gradient / (size[0] * size[1]), size)


def spread(cells: Tensor, size: Sequence[int]) -> Tensor:
    """Every value of [N, C, h, w] ``size`` times, side by side: nearest upsampling by whole factors."""
    count, channels, height, width = cells.shape
    whole = cells.reshape(count, channels, height, 1, width, 1).expand(-1, -1, -1, size[0], -1, size[1])
    return whole.reshape(count, channels, height * size[0], width * size[1])


def max_pool2d_backward(
    gradient: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil: bool,
    indices: Tensor,
) -> Tensor:
    """Each cell's gradient goes to the first of its largest values; ``indices``, which ONNX lacks, are not needed.

    The gradient of every tap, masked, is an input channel of a transposed convolution with one-hot kernels, which
    puts it where the tap was and adds up what overlapping cells give.
    """
    if any(padding) or ceil or set(dilation) != {1}:
        raise ExportError("No rule for the gradient of a padded, dilated or rounded-up pooling")
    count, channels, height, width = x.shape
    size, steps = list(kernel) * (3 - len(kernel)), list(stride or kernel) * (3 - len(stride or kernel))
    rows, columns = gradient.shape[2:]
    taps = [(a, b) for a in range(size[0]) for b in range(size[1])]
    ends = [(a + (rows - 1) * steps[0] + 1, b + (columns - 1) * steps[1] + 1) for a, b in taps]
    values = [x[:, :, a : end[0] : steps[0], b : end[1] : steps[1]] for (a, b), end in zip(taps, ends, strict=True)]
    largest = torch.stack(values).amax(0)
    given, masked = torch.zeros_like(largest, dtype=torch.bool), []
    for value in values:
        here = (value == largest) & ~given
        given = given | here
        masked.append(gradient * here.to(gradient.dtype))
    places = torch.eye(len(taps), dtype=x.dtype).reshape(len(taps), 1, *size)
    cells = torch.stack(masked, 2).reshape(count * channels, len(taps), rows, columns)
    spread_out = F.conv_transpose2d(cells, places, stride=steps)
    rest = height - spread_out.shape[2], width - spread_out.shape[3]
    return F.pad(spread_out, (0, rest[1], 0, rest[0])).reshape(x.shape)


def leaky_relu_backward(gradient: Tensor, x: Tensor, slope: float, is_result: bool) -> Tensor:
    """The gradient times 1 where the input is positive, and times the slope elsewhere."""
    # A choice between two numbers: ONNX Runtime takes four times as long for one between two pictures.
    return gradient * torch.where(x > 0, 1.0, slope)


def threshold_backward(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    """The gradient of a ReLU: nothing passes where its result was not positive."""
    return gradient * (x > threshold).to(gradient.dtype)


def power(x: Tensor, exponent: float) -> Tensor:
    """Squares, and first powers, which their gradients have, as products: ONNX has a logarithm for every number."""
    if exponent == 1:
        return x
    if exponent == 2:
        return x * x
    return NotImplemented


def backward_rules() -> dict[Any, Callable[..., Any]]:
    """Operator to rule: PyTorch's core decompositions, and those above."""
    from torch._decomp import core_aten_decompositions

    return {
        **core_aten_decompositions(),
        _ATEN.convolution_backward.default: convolution_backward,
        _ATEN.avg_pool2d_backward.default: avg_pool2d_backward,
        _ATEN.max_pool2d_with_indices_backward.default: max_pool2d_backward,
        _ATEN.leaky_relu_backward.default: leaky_relu_backward,
        _ATEN.threshold_backward.default: threshold_backward,
        _ATEN.pow.Tensor_Scalar: power,
    }
