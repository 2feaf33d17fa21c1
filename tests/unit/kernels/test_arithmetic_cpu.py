"""The small kernels of the loop, compiled for the CPU, against numpy."""

from collections.abc import Iterator

import numpy as np
import pytest

from hyperstyle_deploy.errors import KernelError
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.images import mean_squared_error, to_uint8

#: Around a block of 256 threads.
COUNTS = (1, 2, 255, 256, 257, 1000)


@pytest.fixture
def draw() -> Iterator[np.random.Generator]:
    return np.random.default_rng(1)


@pytest.mark.parametrize("count", COUNTS)
def test_add(cpu_library: KernelLibrary, draw: np.random.Generator, count: int) -> None:
    left, right = draw.standard_normal((2, count), np.float32)
    total = np.full(count + 1, 7, np.float32)
    cpu_library.add(left.ctypes.data, right.ctypes.data, total.ctypes.data, count)
    np.testing.assert_array_equal(total[:-1], left + right)
    assert total[-1] == 7


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("size", COUNTS)
def test_squared_error(cpu_library: KernelLibrary, draw: np.random.Generator, rows: int, size: int) -> None:
    left, right = draw.uniform(-1, 1, (2, rows, size, 1, 1)).astype(np.float32)
    errors = np.full(rows + 1, 7.0)
    cpu_library.squared_error(left.ctypes.data, right.ctypes.data, errors.ctypes.data, rows, size)
    np.testing.assert_allclose(errors[:-1], mean_squared_error(left, right), rtol=1e-13)
    assert errors[-1] == 7


def test_nan_shows_in_the_error(cpu_library: KernelLibrary) -> None:
    left, right, errors = np.zeros((2, 300), np.float32), np.zeros((2, 300), np.float32), np.zeros(2)
    left[1, 299] = np.nan
    cpu_library.squared_error(left.ctypes.data, right.ctypes.data, errors.ctypes.data, 2, 300)
    assert errors[0] == 0
    assert np.isnan(errors[1])


@pytest.mark.parametrize(("count", "height", "width"), [(1, 1, 1), (1, 17, 31), (3, 16, 16)])
def test_pixels_are_the_hosts_bit_for_bit(
    cpu_library: KernelLibrary, draw: np.random.Generator, count: int, height: int, width: int
) -> None:
    planes = draw.uniform(-1.3, 1.3, (count, 3, height, width)).astype(np.float32)
    pixels = np.full(planes.size + 1, 7, np.uint8)
    cpu_library.pixels(planes.ctypes.data, pixels.ctypes.data, count, height * width)
    np.testing.assert_array_equal(pixels[:-1].reshape(count, height, width, 3), to_uint8(planes))
    assert pixels[-1] == 7


def test_every_level_and_its_neighbours(cpu_library: KernelLibrary) -> None:
    """Where truncation could go either way."""
    levels = np.arange(256, dtype=np.float32) / 255 * 2 - 1
    values = np.concatenate([levels, np.nextafter(levels, -2), np.nextafter(levels, 2), [np.inf, -np.inf, 1, -1]])
    planes = np.ascontiguousarray(np.broadcast_to(values.astype(np.float32), (1, 3, 1, len(values))))
    pixels = np.zeros((1, 1, len(values), 3), np.uint8)
    cpu_library.pixels(planes.ctypes.data, pixels.ctypes.data, 1, len(values))
    np.testing.assert_array_equal(pixels, to_uint8(planes))


def test_wrong_arguments_are_refused(cpu_library: KernelLibrary) -> None:
    place = np.zeros(8).ctypes.data
    for call in (
        lambda: cpu_library.add(0, place, place, 1),
        lambda: cpu_library.add(place, place, place, 0),
        lambda: cpu_library.squared_error(place, place, place, 1, 0),
        lambda: cpu_library.pixels(place, 0, 1, 1),
        lambda: cpu_library.pixels(place, place, 2**62, 4),
    ):
        with pytest.raises(KernelError, match="was not launched"):
            call()
