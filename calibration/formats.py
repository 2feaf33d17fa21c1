"""The two formats that weights and activations are quantized to, as numbers: INT8, and FP8 E4M3."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray

#: Scales stay normal numbers in float32.
_LEAST_PEAK = 1e-30


@dataclass(frozen=True)
class Format:
    """A symmetric format: ``x ~ scale * q`` with zero point 0, as TensorRT wants it, ``scale = peak / largest``."""

    name: str
    onnx_dtype: int
    dtype: type
    largest: float
    safetensors: str
    title: str

    def scale(self, peak: float | NDArray[np.float32]) -> NDArray[np.float32]:
        """The scale that maps ``peak`` to the largest number; 1 for a peak of 0, since every q is 0 there."""
        peaks = np.asarray(peak, np.float32)
        return np.where(peaks > _LEAST_PEAK, peaks / np.float32(self.largest), np.float32(1)).astype(np.float32)

    def quantize(self, values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.generic]:
        """``round(values / scale)``, half to even as ONNX's QuantizeLinear, saturated."""
        ratio = np.clip(values / scale, -self.largest, self.largest)
        return (np.rint(ratio) if self.name == "int8" else ratio).astype(self.dtype)

    def error(self, values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
        """``scale * q - values``."""
        return self.quantize(values, scale).astype(np.float32) * scale - values


#: -128 is not used: so the range is symmetric, and a processor's 16-bit sums of two products do not overflow.
INT8 = Format("int8", onnx.TensorProto.INT8, np.int8, 127.0, "I8", "INT8")
FP8 = Format("fp8", onnx.TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, 448.0, "F8_E4M3", "FP8 (E4M3)")
FORMATS = {form.name: form for form in (INT8, FP8)}
