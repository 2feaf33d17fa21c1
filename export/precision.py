"""What of a bundle is kept and computed in 16 bits and what stays float32: the policy behind ``export --precision``.

The stages ask here and nowhere else. Sixteen bits hold what is large: activations, convolution weights, the matrices of
`offsets`, tuned weights and offsets. Float32 is what is small, or what squares, sums or scales the rest: all that a
host touches, energies, styles and demodulation, the sum of the toRGB outputs, sums of offsets, pooled means and what
follows them. docs/precision.md is the table, with a reason for each.

FP16 ends at 65504, so nothing of unknown size meets it: it is divided by a power of two, at export, or by its own peak,
at run time, and gets the factor back in float32. In exact arithmetic this changes nothing.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import ExportError
from ..runtime.manifest.checks import PRECISIONS
from ..runtime.quality.tolerance import TOLERANCE


@dataclass(frozen=True)
class Precision:
    """One choice of ``--precision``.

    ``name`` is the manifest's, ``dtype`` that of the large tensors. ``rescaled`` says that they are kept near 1;
    float32 graphs have no need of that and have none of its nodes. ``opset`` is the first that has the operators in
    this dtype: convolutions take bfloat16 from 22 on.
    """

    name: str
    dtype: torch.dtype
    rescaled: bool = True
    opset: int = 20

    @property
    def exact(self) -> "Precision":
        """The same graphs in float32 arithmetic: what those in 16 bits are compared with."""
        return replace(self, dtype=torch.float32)

    @property
    def tolerance(self) -> float:
        """How far results may differ from float32's."""
        return TOLERANCE[self.name]

    def narrow(self, tensor: Tensor) -> Tensor:
        """To the dtype of the large tensors."""
        return tensor if tensor.dtype is self.dtype else tensor.to(self.dtype)

    def parameter(self, tensor: Tensor) -> nn.Parameter:
        """A constant in the dtype of the large tensors."""
        return nn.Parameter(self.narrow(tensor), requires_grad=False)


FLOAT32 = Precision("float32", torch.float32, rescaled=False)
FLOAT16 = Precision("float16", torch.float16)
BFLOAT16 = Precision("bfloat16", torch.bfloat16, opset=22)


def precision_named(name: str) -> Precision:
    """The precision that the manifest calls ``name``.

    Raises:
        ExportError: there is no such precision.
    """
    for precision in (FLOAT32, FLOAT16, BFLOAT16):
        if precision.name == name:
            return precision
    raise ExportError("Unknown precision", got=name, expected=" or ".join(PRECISIONS))


def widen(tensor: Tensor) -> Tensor:
    """To float32."""
    return tensor if tensor.dtype is torch.float32 else tensor.float()


#: Peaks below this count as this, so that zeros are not divided by zero; the formula is exact for any divisor.
SMALLEST_PEAK = 1e-8


def split_peak(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Each row over its largest magnitude, and that magnitude: float32 [N, C] to [N, C] in [-1, 1] and [N, 1]."""
    peak = tensor.abs().amax(1, keepdim=True).clamp_min(SMALLEST_PEAK)
    return tensor / peak, peak


def power_of_two(magnitude: Tensor) -> Tensor:
    """The smallest power of two that is not below each magnitude, 1 for 0: dividing by it is exact."""
    return torch.where(magnitude > 0, torch.exp2(torch.ceil(torch.log2(magnitude))), 1.0)
