"""Ranges: of every step and photo their own, the same each time, and read again only for the same question."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from hyperstyle_deploy.calibration import ranges as module
from hyperstyle_deploy.calibration.loop_backend import LoopBackend, MemorySession
from hyperstyle_deploy.calibration.ranges import Ranges, Watched, collect
from hyperstyle_deploy.calibration.stage_graph import StageGraph, stage_graphs
from hyperstyle_deploy.errors import CalibrationError
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.tests.unit.calibration.conftest import STEPS

Pixels = list[NDArray[np.float32]]


@pytest.fixture
def no_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr(module._Counter, "count", refuse)


def test_every_tensor_has_a_range_a_step(ranges: Ranges, graphs: dict[str, StageGraph]) -> None:
    for stage, steps in (("encoder", {0}), ("hypernet", {1, STEPS})):
        read = {node.input[0] for node in graphs[stage].convolutions()}
        assert set(ranges.tensors(stage)) == read
        for tensor in read:
            assert {key.step for key in ranges.histograms if key[:2] == (stage, tensor)} == steps


#: The steps at which a method's graphs are watched in a loop of two.
WATCHED = {
    "e4e": ({}, {"encoder": {0}}),
    "restyle-psp": ({}, {"encoder": {1, 2}}),
    "hyperstyle": ({"encoder_steps": 2}, {"encoder": {0}, "hypernet": {1, 2}}),
}


@pytest.mark.parametrize("method", WATCHED)
def test_every_graph_is_watched_at_the_steps_that_it_leads_to(
    method: str, toys: Callable[..., Path], tmp_path: Path
) -> None:
    options, watched = WATCHED[method]
    bundle = Bundle.open(toys(method, **options))
    photo = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    found = collect(bundle, stage_graphs(bundle), [photo], 0 if method == "e4e" else 2, cache=tmp_path)
    assert {key.stage for key in found.histograms} == set(watched)
    for stage, steps in watched.items():
        assert {key.step for key in found.histograms if key.stage == stage} == steps
        (tensor,) = found.tensors(stage)
        if len(steps) > 1:  # it sees another reconstruction at every step
            one, two = (found.histograms[Watched(stage, tensor, step)] for step in sorted(steps))
            assert not np.array_equal(one.counts, two.counts)
    runs = 2 if options else 1  # an encoder's own steps count together
    (tensor,) = found.tensors("encoder")
    channels = 3 if method == "e4e" else 6
    first = found.histograms[Watched("encoder", tensor, min(watched["encoder"]))]
    assert first.counts.sum() == runs * channels * 32 * 32


def test_what_a_photo_alone_gives_is_computed_once_while_nobody_watches(toys: Callable[..., Path]) -> None:
    ran: list[str] = []

    class Counting(MemorySession):
        def run(self, inputs: Mapping[str, Any], watch: Any = None) -> list[Any]:
            ran.append(self._name)
            return super().run(inputs, watch)

    bundle = Bundle.open(toys("hyperstyle"))
    backend = LoopBackend(bundle)
    for name in ("encoder", "hypernet"):
        backend.sessions[name] = Counting(bundle, onnx.load(bundle.graph(name), load_external_data=False))
    photo = np.zeros((3, 32, 32), np.float32)
    first, again = (backend.images(photo, 1) for _ in range(2))
    assert np.array_equal(first, again)
    assert ran == ["encoder", "hypernet", "hypernet"]
    backend.images(photo + 1, 0)
    backend.sessions["encoder"] = Counting(bundle, onnx.load(bundle.graph("encoder"), load_external_data=False))
    backend.images(photo, 0)  # with another network
    assert ran[3:] == ["encoder", "encoder"]


def test_the_steps_differ(ranges: Ranges) -> None:
    """The photo is the same at every step, the reconstruction is not: a list that steps share would show here."""
    tensors = ranges.tensors("hypernet")
    differ = [
        not np.array_equal(*(ranges.histograms[Watched("hypernet", name, step)].counts for step in (1, 2)))
        for name in tensors
    ]
    assert all(differ)
    one, two = (ranges.histograms[Watched("hypernet", tensors[0], step)] for step in (1, 2))
    assert one.counts.sum() == two.counts.sum() == 2 * 6 * 64 * 64
    assert ranges.of("hypernet", tensors[0]).counts.sum() == 4 * 6 * 64 * 64


def test_photos_differ_and_add_up(
    ranges: Ranges, bundle: Bundle, graphs: dict[str, StageGraph], pixels: Pixels, no_counting: None
) -> None:
    first, second = (collect(bundle, graphs, [photo], STEPS) for photo in pixels)
    for key, both in ranges.histograms.items():
        one, other = first.histograms[key], second.histograms[key]
        assert both.peak == max(one.peak, other.peak)
        assert both.counts.sum() == one.counts.sum() + other.counts.sum()
    assert any(first.histograms[key].peak != second.histograms[key].peak for key in ranges.histograms)


def test_counting_again_gives_the_same(
    bundle: Bundle, graphs: dict[str, StageGraph], pixels: Pixels, ranges: Ranges, tmp_path: Path
) -> None:
    kept = collect(bundle, graphs, pixels[:1], STEPS)
    again = collect(bundle, graphs, pixels[:1], STEPS, cache=tmp_path)
    for key, histogram in kept.histograms.items():
        assert np.array_equal(again.histograms[key].counts, histogram.counts), key
        assert again.histograms[key].exponent == histogram.exponent
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_another_question_is_counted(
    bundle: Bundle,
    graphs: dict[str, StageGraph],
    pixels: Pixels,
    ranges: Ranges,
    no_counting: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AssertionError, match="counted again"):
        collect(bundle, graphs, pixels[:1], STEPS + 1)
    with pytest.raises(AssertionError, match="counted again"):
        collect(bundle, graphs, [pixels[0] * np.float32(0.999)], STEPS)
    real = module.graph_digest
    for stage in ("encoder", "synthesis_one"):
        monkeypatch.setattr(module, "graph_digest", lambda b, s, changed=stage: real(b, s) + "x" * (s == changed))
        with pytest.raises(AssertionError, match="counted again"):
            collect(bundle, graphs, pixels[:1], STEPS)


def test_a_damaged_file_of_the_cache_is_counted_again(
    bundle: Bundle, graphs: dict[str, StageGraph], pixels: Pixels, ranges: Ranges, tmp_path: Path, no_counting: None
) -> None:
    source = next(iter((module.cache_folder() / "calibration").glob("*.npz")))
    for damaged in (b"", b"PK", source.read_bytes()[:-2000]):
        for file in (module.cache_folder() / "calibration").glob("*.npz"):
            (tmp_path / file.name).write_bytes(damaged)
        with pytest.raises(AssertionError, match="counted again"):
            collect(bundle, graphs, pixels[:1], STEPS, cache=tmp_path)


def test_a_photo_twice_without_a_cache_is_counted_twice(
    bundle: Bundle, graphs: dict[str, StageGraph], pixels: Pixels, ranges: Ranges, tmp_path: Path
) -> None:
    """An encoder's codes are kept elsewhere, but then what it reads would not be seen."""
    (tmp_path / "file").touch()
    twice = collect(bundle, graphs, [pixels[0]] * 2, 1, cache=tmp_path / "file")
    once = collect(bundle, graphs, pixels[:1], 1, cache=tmp_path / "file")
    for key, histogram in once.histograms.items():
        assert np.array_equal(twice.histograms[key].counts, 2 * histogram.counts), key


def test_nothing_to_calibrate_on_is_an_error(bundle: Bundle, graphs: dict[str, StageGraph], pixels: Pixels) -> None:
    for photos, steps in (([], 1), (pixels, 0)):
        with pytest.raises(CalibrationError, match="Nothing to calibrate on"):
            collect(bundle, graphs, photos, steps)
