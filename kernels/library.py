"""The built CUDA library from Python: load it, check a layer table, launch. Pointers are ints; no array is copied."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import KernelError
from .traffic import LayerShape

#: Where the build puts the library, and where it is looked for.
LIBRARY = Path(__file__).parent / "lib" / "libhyperstyle_modulate.so"
ABI = 1
MAX_LAYERS = 32
_DTYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
_NO_OFFSET, _CHANNEL, _FULL = range(3)
_BUILD = "Build it: python -m hyperstyle_deploy.kernels.build (needs CUDA's nvcc, but no GPU)."
# By the codes of modulate.h, what would have been right.
_EXPECTED = {
    -1: f"1 to {MAX_LAYERS} layers",
    -2: "float32, float16 or bfloat16, offsets of the same or float32",
    -3: "channels and taps of at least 1, out * in below 2^31, at most 2304 taps",
    -4: "an offset exactly if the layer is tuned",
    -5: "device addresses of base and weight",
    -6: "addresses that are multiples of the element's size; of 16 for full speed",
    -7: "arrays apart from each other; the weight cannot replace its base",
    -8: "a finite scale",
    -9: "less than 2^31 blocks",
}


class _Layer(ctypes.Structure):
    """``HyperstyleLayer`` of modulate.h."""

    _fields_ = (
        ("base", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("energy", ctypes.c_void_p),
        ("out_channels", ctypes.c_int32),
        ("in_channels", ctypes.c_int32),
        ("taps", ctypes.c_int32),
        ("offset_kind", ctypes.c_int32),
        ("transposed", ctypes.c_int32),
        ("scale", ctypes.c_float),
    )


@dataclass(frozen=True)
class LayerArrays:
    """One layer and the device addresses of its arrays, all dense.

    Attributes:
        layer: shape and kind of offset; a ``runtime.layers.Layer``.
        base: W, [out, in, k, k]; [in, out, k, k] for an up-convolution.
        weight: written: W', shape and dtype of ``base``.
        offset: [out, in] or [out, in, k, k] as ``layer.offset`` says, up-convolution or not; None if not tuned.
        energy: written: float32, the first two axes of ``weight``; None if not wanted.
        scale: multiplies every weight; 1 for a bundle's weights, which hold it already.
    """

    layer: LayerShape
    base: int
    weight: int
    offset: int | None = None
    energy: int | None = None
    scale: float = 1.0


class KernelLibrary:
    """The built library. It may be used from any thread.

    Args:
        path: the shared library.

    Raises:
        KernelError: it is not there, cannot be loaded, or is of another version of the interface.
    """

    def __init__(self, path: Path = LIBRARY) -> None:
        if not path.exists():
            raise KernelError("The CUDA kernel is not built", got=f"no {path}", hint=_BUILD)
        try:
            library = ctypes.CDLL(str(path))
            abi = int(library.hyperstyle_modulate_abi())
            self._check, self._launch = library.hyperstyle_modulate_check, library.hyperstyle_modulate
            self._describe = library.hyperstyle_modulate_error
        except (OSError, AttributeError) as error:
            raise KernelError("The CUDA kernel's library cannot be loaded", got=str(error), hint=_BUILD) from error
        if abi != ABI:
            raise KernelError(f"{path} is of another version", got=abi, expected=f"interface {ABI}", hint=_BUILD)
        table = (ctypes.POINTER(_Layer), ctypes.c_int, ctypes.c_int, ctypes.c_int)
        self._check.argtypes = (*table, ctypes.POINTER(ctypes.c_int))
        self._launch.argtypes = (*table, ctypes.c_void_p)
        self._describe.argtypes, self._describe.restype = (ctypes.c_int,), ctypes.c_char_p
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self._add, self._squared_error = library.hyperstyle_add, library.hyperstyle_squared_error
        self._pixels = library.hyperstyle_pixels
        self._add.argtypes = (pointer, pointer, pointer, count, pointer)
        self._squared_error.argtypes = (pointer, pointer, pointer, count, count, pointer)
        self._pixels.argtypes = (pointer, pointer, count, count, pointer)
        self.path = path

    def modulation(self, arrays: Sequence[LayerArrays], dtype: str, offset_dtype: str | None = None) -> "Modulation":
        """Check the table of one launch; needs no GPU.

        Args:
            arrays: the layers, in any order.
            dtype: of every base and weight: "float32", "float16" or "bfloat16".
            offset_dtype: of every offset: the same, which is the default, or "float32".

        Raises:
            KernelError: the library would refuse the table; the message names the layer.
        """
        table = (_Layer * len(arrays))(*map(_entry, arrays))
        # -1 is no dtype: the library refuses it like any other wrong one.
        dtypes = _DTYPES.get(dtype, -1), _DTYPES.get(offset_dtype or dtype, -1)
        fault = ctypes.c_int(-1)
        code = self._check(table, len(arrays), *dtypes, fault)
        if code:
            got = f"{len(arrays)} layers of {dtype}, offsets of {offset_dtype or dtype}"
            if fault.value >= 0:
                got = _described(arrays[fault.value])
            raise KernelError(f"The kernel refuses the table: {self.describe(code)}", got=got, expected=_EXPECTED[code])
        return Modulation(self, table, dtypes)

    def describe(self, code: int) -> str:
        """What a code that the library returned means, be it the library's own or CUDA's."""
        return self._describe(code).decode()

    def launch(self, table: "ctypes.Array[_Layer]", dtypes: tuple[int, int], stream: int) -> None:
        """What ``Modulation.launch`` calls."""
        self._launched(self._launch(table, len(table), *dtypes, stream))

    def add(self, left: int, right: int, total: int, count: int, stream: int = 0) -> None:
        """Enqueue ``total = left + right``, ``count`` numbers in float32.

        Raises:
            KernelError: an argument is wrong, or CUDA refused the launch.
        """
        self._launched(self._add(left, right, total, count, stream))

    def squared_error(self, left: int, right: int, errors: int, rows: int, size: int, stream: int = 0) -> None:
        """Enqueue the loop's L2 of ``rows`` photos: ``errors[r] = mean((left[r] - right[r])^2)``.

        Args:
            left: [rows, size] float32.
            right: the same.
            errors: written: [rows] float64.
            rows: how many.
            size: numbers of a row.
            stream: a CUDA stream's handle.

        Raises:
            KernelError: an argument is wrong, or CUDA refused the launch.
        """
        self._launched(self._squared_error(left, right, errors, rows, size, stream))

    def pixels(self, planes: int, pixels: int, images: int, area: int, stream: int = 0) -> None:
        """Enqueue ``clip((y + 1) / 2, 0, 1) * 255``, truncated: [images, 3, area] float32 to [images, area, 3] uint8.

        Raises:
            KernelError: an argument is wrong, or CUDA refused the launch.
        """
        self._launched(self._pixels(planes, pixels, images, area, stream))

    def _launched(self, code: int) -> None:
        if code:
            raise KernelError(
                f"The kernel was not launched: {self.describe(code)}",
                got=f"CUDA error {code}" if code > 0 else f"code {code}",
                expected="a current CUDA device, and a stream of it",
            )


class Modulation:
    """One launch, its table checked: the tuned weights and energies of all its layers. Made by ``KernelLibrary``."""

    def __init__(self, library: KernelLibrary, table: "ctypes.Array[_Layer]", dtypes: tuple[int, int]) -> None:
        self._library, self._table, self._dtypes = library, table, dtypes

    def launch(self, stream: int = 0) -> None:
        """Enqueue it on ``stream``, a CUDA stream's handle (0: the default stream); does not wait.

        Can be captured into a CUDA graph. The arrays must stay where they are until the work is done.

        Raises:
            KernelError: CUDA refused the launch. Errors while it runs show when the stream is waited for.
        """
        self._library.launch(self._table, self._dtypes, stream)


def _entry(arrays: LayerArrays) -> _Layer:
    layer = arrays.layer
    sizes = (layer.out_channels, layer.in_channels, layer.kernel**2)
    if not all(0 < size < 2**31 for size in sizes):  # ctypes would cut them to 32 bits
        raise KernelError("The kernel refuses the table", got=_described(arrays), expected=_EXPECTED[-3])
    kind = {"none": _NO_OFFSET, "channel": _CHANNEL}.get(layer.offset, _FULL)
    return _Layer(
        arrays.base, arrays.offset, arrays.weight, arrays.energy, *sizes, kind, int(layer.up), float(arrays.scale)
    )


def _described(arrays: LayerArrays) -> str:
    layer = arrays.layer
    addresses = ((name, getattr(arrays, name)) for name in ("base", "offset", "weight", "energy"))
    places = ", ".join(f"{name} {'null' if address is None else hex(address)}" for name, address in addresses)
    shape = f"out {layer.out_channels}, in {layer.in_channels}, kernel {layer.kernel}, offset {layer.offset}"
    return f"layer {layer.name}: {shape}; {places}; scale {arrays.scale}"
