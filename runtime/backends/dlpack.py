"""DLPack's capsules through ctypes: how libraries hand each other arrays, on a GPU or not, without a copy."""

import ctypes
from dataclasses import dataclass
from typing import Any

#: Kinds of devices that hold CUDA's memory: a GPU's own, and the one that moves between it and the host.
CUDA, CUDA_MANAGED = 2, 13
#: (code, bits) of the dtypes that we know.
DTYPES = {
    "float32": (2, 32),
    "float16": (2, 16),
    "bfloat16": (4, 16),
    "float64": (2, 64),
    "uint8": (1, 8),
}


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("index", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """``DLManagedTensor``: the deleter is called with its address by who has taken it, once."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
# The two names of a capsule: until somebody takes the array, and after. They must live as long as any capsule.
_NEW, _TAKEN = ctypes.create_string_buffer(b"dltensor"), ctypes.create_string_buffer(b"used_dltensor")


def _python(name: str, result: Any, *arguments: Any) -> Any:
    # Prototypes of our own: those of ctypes.pythonapi are shared by the whole process. A capsule goes by its address,
    # so that its destructor can look at it as well.
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_is_valid = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_get_pointer = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_set_name = _python("PyCapsule_SetName", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_new = _python("PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, _DESTRUCTOR)


class Taken:
    """An array out of a capsule: it is given back when nothing refers to this any more."""

    def __init__(self, address: int) -> None:
        self._address = address

    def __del__(self) -> None:
        deleter = _Managed.from_address(self._address).deleter
        if deleter:
            _DELETER(deleter)(self._address)


@dataclass(frozen=True)
class Tensor:
    """What a capsule says; ``strides`` in elements, None for a dense array; ``dtype`` is (code, bits, lanes)."""

    pointer: int
    device: tuple[int, int]
    dtype: tuple[int, int, int]
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    owner: object


def take(capsule: object) -> Tensor:
    """Take the array out of a capsule that ``__dlpack__`` made.

    Raises:
        ValueError: it is no capsule with an array in it.
    """
    if not _is_valid(id(capsule), _NEW.value):
        raise ValueError("no DLPack capsule, or one whose array was taken")
    address = _get_pointer(id(capsule), _NEW.value)
    _set_name(id(capsule), ctypes.addressof(_TAKEN))
    tensor, owner = _Managed.from_address(address).tensor, Taken(address)
    axes = range(tensor.ndim)
    return Tensor(
        (tensor.data or 0) + tensor.byte_offset,
        (tensor.device.kind, tensor.device.index),
        (tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes),
        tuple(tensor.shape[axis] for axis in axes),
        tuple(tensor.strides[axis] for axis in axes) if tensor.strides else None,
        owner,
    )


#: What capsules refer to, until they or who took from them are done with it.
_given: dict[int, tuple[object, ...]] = {}


def give(pointer: int, device: tuple[int, int], dtype: str, shape: tuple[int, ...], owner: object) -> object:
    """A capsule of a dense array; ``owner`` is kept until it is given back."""
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    strides, step = (ctypes.c_int64 * len(shape))(), 1
    for axis in reversed(range(len(shape))):
        strides[axis], step = step, step * shape[axis]
    tensor = _Tensor(pointer, _Device(*device), len(shape), _DataType(*DTYPES[dtype], 1), sizes, strides, 0)
    managed = _Managed(tensor, None, ctypes.cast(_give_back, ctypes.c_void_p))
    address = ctypes.addressof(managed)
    _given[address] = (managed, sizes, strides, owner)
    return _new(address, ctypes.addressof(_NEW), _forget)


@_DELETER
def _give_back(address: int) -> None:
    del _given[address]


@_DESTRUCTOR
def _forget(capsule: int) -> None:
    if _is_valid(capsule, _NEW.value):  # nobody has taken the array
        del _given[_get_pointer(capsule, _NEW.value)]
