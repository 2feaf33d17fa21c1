"""DLPack's capsules against NumPy's and PyTorch's own, in both directions."""

import gc
import weakref

import numpy as np
import pytest

from hyperstyle_deploy.runtime.backends import dlpack

CPU = (1, 0)
ARRAYS = [np.arange(24, dtype=dtype).reshape(2, 3, 4) for dtype in ("float32", "float16", "float64", "uint8")]


class Owned:
    """An array in host memory, which other libraries take from our capsule."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **_options: object) -> object:
        return dlpack.give(self.array.ctypes.data, CPU, self.array.dtype.name, self.array.shape, self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: array.dtype.name)
def test_ours_are_read_by_others_and_kept_until_they_are_done(array: np.ndarray) -> None:
    import torch

    for read in (np.from_dlpack, torch.from_dlpack):
        owned = Owned(array)
        gone = weakref.ref(owned)
        theirs = read(owned)
        del owned
        gc.collect()
        assert gone() is not None
        np.testing.assert_array_equal(np.asarray(theirs), array)
        del theirs
        gc.collect()
        assert gone() is None
    assert dlpack._given == {}


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: array.dtype.name)
def test_others_are_read_where_they_are(array: np.ndarray) -> None:
    import torch

    part = array[:, 1:]
    for theirs in (part, torch.from_numpy(part)):
        tensor = dlpack.take(theirs.__dlpack__())
        assert (tensor.pointer, tensor.shape, tensor.device) == (part.ctypes.data, part.shape, CPU)
        assert tensor.dtype == (*dlpack.DTYPES[array.dtype.name], 1)
        assert tensor.strides == tuple(step // array.itemsize for step in part.strides)


def test_what_was_taken_is_given_back() -> None:
    array = np.arange(5.0)
    references = len(gc.get_referrers(array))
    tensor = dlpack.take(array.__dlpack__())
    assert tensor.shape == (5,)
    del tensor
    gc.collect()
    assert len(gc.get_referrers(array)) == references


def test_bfloat16_goes_to_pytorch() -> None:
    import torch

    bits = np.array([0x3F80, 0x4000], np.uint16)
    capsule = dlpack.give(bits.ctypes.data, CPU, "bfloat16", (2,), bits)
    assert torch.utils.dlpack.from_dlpack(capsule).float().tolist() == [1.0, 2.0]


def test_a_capsule_is_taken_once() -> None:
    capsule = np.arange(3.0).__dlpack__()
    dlpack.take(capsule)
    for wrong in (capsule, object()):
        with pytest.raises(ValueError, match="no DLPack capsule"):
            dlpack.take(wrong)
