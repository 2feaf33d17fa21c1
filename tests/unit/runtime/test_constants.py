"""The writer of constants: each stored once, under the names that readers ask for, in files that any reader reads."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hyperstyle_deploy.runtime.bundle import constants as module
from hyperstyle_deploy.runtime.bundle.constants import Constants, Home


def test_equal_constants_share_a_place(tmp_path: Path) -> None:
    constants = Constants(tmp_path)
    first = constants.add("a", "w", np.ones(400, np.float32))
    assert constants.add("b", "v", np.ones(400, np.float32)) == first
    assert constants.add("b", "u", np.ones((20, 20), np.float32)) != first  # equal bytes of another shape
    assert constants.add("b", "t", np.ones(400, np.float32).view(np.int32)) != first  # and of another dtype
    places = constants.write()
    assert len(places) == 3
    place = places[first]
    content = (tmp_path / place.file).read_bytes()[place.offset : place.offset + place.length]
    np.testing.assert_array_equal(np.frombuffer(content, np.float32), np.ones(400, np.float32))


def test_other_constants_of_one_name_are_told_apart(tmp_path: Path) -> None:
    constants = Constants(tmp_path)
    first, second = (constants.add("a", "w", np.full(3, value)) for value in (1.0, 2.0))
    assert (first, second.name[:2]) == (Home("a", "w"), "w.")
    constants.write()
    assert set(load_file(tmp_path / "a.safetensors")) == {first.name, second.name}


def test_what_is_asked_for_by_name_is_there_under_every_name(tmp_path: Path) -> None:
    """Noises whose strength is 0 are equal, and each is a graph's input."""
    constants = Constants(tmp_path)
    for name in ("noise.conv1", "noise.convs.0"):
        constants.keep("generator", name, np.zeros((1, 1, 4, 4), np.float32))
    assert constants.add("a", "other", np.zeros((1, 1, 4, 4), np.float32)) == Home("generator", "noise.conv1")
    constants.write()
    assert set(load_file(tmp_path / "generator.safetensors")) == {"noise.conv1", "noise.convs.0"}
    assert not (tmp_path / "a.safetensors").exists()


def test_files_are_read_by_the_safetensors_package(tmp_path: Path) -> None:
    arrays = {
        "halves": np.arange(3, dtype=np.float16),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "scalar": np.array(2.5),
        "bytes": np.arange(7, dtype=np.uint8),
        "empty": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False]),
    }
    constants = Constants(tmp_path)
    for name, array in arrays.items():
        constants.keep("a", name, array)
    places = constants.write()
    read = load_file(tmp_path / "a.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert places[Home("a", name)].offset % array.itemsize == 0


def test_a_large_group_goes_into_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 100)
    constants = Constants(tmp_path, taken={"a-2.safetensors"})
    homes = [constants.add("a", str(row), np.full(10, row, np.float32)) for row in range(5)]
    files = ("a.safetensors", "a-3.safetensors", "a-4.safetensors")
    assert constants.files("a") == files
    places = constants.write()
    assert [places[home].file for home in homes] == [files[row // 2] for row in range(5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    assert constants.files("none") == ()


def test_freed_memory_is_not_taken_for_the_constant_that_had_it(tmp_path: Path) -> None:
    constants = Constants(tmp_path)
    homes = {constants.add("a", "w", np.full(1000, value, np.float32)) for value in range(20)}
    assert len(homes) == 20
