"""The GPU of this machine, asked of NVIDIA's driver directly, so that no CUDA package is needed to name it."""

import ctypes
import sys
from dataclasses import dataclass

from ...errors import BackendError

# Numbers of cuda.h, the same in every version of the driver.
_MAJOR, _MINOR = 75, 76
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """A GPU's name as the driver gives it, and its compute capability as one number: 89 for 8.9."""

    name: str
    compute_capability: int


def find_gpu(ordinal: int = 0) -> Gpu:
    """The GPU that CUDA numbers ``ordinal``; ``CUDA_VISIBLE_DEVICES`` counts.

    Raises:
        BackendError: no driver, no such GPU, or a driver that does not start; it says which.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise _unusable(f"no driver ({error})") from error
    _call(driver, "cuInit", 0)
    device = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(device), ordinal)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return Gpu(name.value.decode(errors="replace"), 10 * numbers[0] + numbers[1])


def _call(driver: ctypes.CDLL, function: str, *arguments: object) -> None:
    status = getattr(driver, function)(*arguments)
    if status == 0:
        return
    text = ctypes.c_char_p()
    driver.cuGetErrorName(status, ctypes.byref(text))
    raise _unusable(f"{(text.value or b'error').decode()} ({status}) from {function}")


def _unusable(got: str) -> BackendError:
    return BackendError(
        "No NVIDIA GPU can be used",
        got=got,
        expected="a GPU and its driver, which `nvidia-smi` lists",
        hint="In a container, pass the GPU in (for Docker: --gpus all).",
    )
