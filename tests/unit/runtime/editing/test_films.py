"""Films: the way between people and along directions, every kind of file, constant memory, nothing half-written."""

import gc
import resource
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.errors import ArrayError, DirectionError, InversionError, OutputError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing import film
from hyperstyle_deploy.runtime.editing.film import write_film
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run

SIZE = (36, 52)  # height, width
KINDS = ("film.gif", "film.webp", "film", "film.mp4")


def shades(count: int) -> Iterator[np.ndarray]:
    """Grey frames, brighter and brighter, with a coloured corner."""
    for index in range(count):
        frame = np.full((*SIZE, 3), 20 + 200 * index // max(1, count - 1), np.uint8)
        frame[:12, :12] = (200, 30, 60)
        yield frame


def frames_of(path: Path) -> tuple[list[np.ndarray], float]:
    """A film's frames, and its seconds."""
    if path.is_dir():
        return [np.asarray(Image.open(file)) for file in sorted(path.iterdir())], 0
    if path.suffix == ".mp4":
        av = pytest.importorskip("av")
        with av.open(str(path)) as opened:
            frames = [frame.to_ndarray(format="rgb24", src_colorspace="itu709") for frame in opened.decode(video=0)]
            return frames, float(opened.streams.video[0].duration * opened.streams.video[0].time_base)
    picture, frames, milliseconds = Image.open(path), [], 0
    for index in range(picture.n_frames):
        picture.seek(index)
        picture.load()
        milliseconds += picture.info["duration"]
        frames.append(np.asarray(picture.convert("RGB")))
    return frames, milliseconds / 1000


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_its_frames_and_its_length(tmp_path: Path, name: str) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("av")
    write_film(tmp_path / name, shades(20), 20, 15)
    frames, seconds = frames_of(tmp_path / name)
    assert len(frames) == 20
    for frame, expected in zip(frames, shades(20), strict=True):
        assert frame.shape == expected.shape
        difference = np.abs(frame.astype(int) - expected)
        assert np.median(difference) <= 2
        assert difference[2:10, 2:10].mean() < 16  # colours come through
    assert seconds == 0 or abs(seconds - 20 / 15) < 0.02
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", KINDS)
def test_frames_do_not_wait_in_memory(tmp_path: Path, name: str) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("av")
    alive: list[weakref.ref] = []
    most = 0

    class Watched(np.ndarray):
        pass

    def watched() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in shades(40):
            each = frame.view(Watched)
            alive.append(weakref.ref(each))
            del frame
            yield each
            del each
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))

    gc.freeze()  # collecting what other tests left would take half a second a frame
    try:
        write_film(tmp_path / name, watched(), 40, 30)
    finally:
        gc.unfreeze()
    assert len(alive) == 40
    assert most <= 3


@pytest.mark.parametrize("name", KINDS)
def test_a_film_that_is_cut_short_leaves_nothing(tmp_path: Path, name: str) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("av")

    def broken() -> Iterator[np.ndarray]:
        yield from shades(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / name, broken(), 20, 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, name: str) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("av")
    noise = np.random.default_rng(0)
    frames = (noise.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(30))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match="Got: File too large") as refused:
            write_film(tmp_path / name, frames, 30, 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "partial" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.gif").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "0.png").touch()
    (tmp_path / "folder" / "thesis.txt").touch()
    for name, rate, overwrite, match in (
        ("film.avi", 30, False, r"unknown. Got: film.avi. Expected: .mp4, .gif, .webp"),
        ("film.gif", 0, False, "rate is out of range"),
        ("film.gif", 121, False, "rate is out of range"),
        ("nowhere/film.gif", 30, False, "no such folder"),
        ("nowhere/film", 30, False, "no such folder"),
        ("there.gif", 30, False, "The output exists"),
        ("folder", 30, False, "The output exists"),
        ("folder", 30, True, "no folder of frames. Got: .*thesis.txt"),
    ):
        with pytest.raises(OutputError, match=match):
            film.check_film(tmp_path / name, rate, overwrite)
    write_film(tmp_path / "there.gif", shades(3), 3, 30, overwrite=True)
    assert len(frames_of(tmp_path / "there.gif")[0]) == 3
    (tmp_path / "folder" / "thesis.txt").unlink()
    write_film(tmp_path / "folder", shades(3), 3, 30, overwrite=True)
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"0.png", "1.png", "2.png"}
    pytest.importorskip("av")
    with pytest.raises(OutputError, match=r"even sides\. Got: 51x36"):
        write_film(tmp_path / "odd.mp4", (frame[:, 1:] for frame in shades(3)), 3, 30)
    assert not (tmp_path / "odd.mp4").exists()
    monkeypatch.setattr(film, "ENCODER", "libx265-of-nobody")
    with pytest.raises(OutputError, match="it has no libx265-of-nobody"):
        film.check_film(tmp_path / "film.mp4", 30)


def test_half_the_way_between_two_people_has_the_mean_of_their_weights(
    session: Session, people: list[Inversion]
) -> None:
    anna = people[0]
    bert = session.invert(np.full((40, 40, 3), 90, np.uint8), steps=4)
    arrays, steps = Trajectory([anna, bert], easing="linear").person(0.5)
    assert steps == 3
    between = Inversion(arrays, int(steps), anna.method, anna.model)
    ends, middle = [session.weight_offsets(person) for person in (anna, bert)], session.weight_offsets(between)
    for layer, offsets in middle.items():
        np.testing.assert_allclose(offsets, (ends[0][layer] + ends[1][layer]) / 2, atol=1e-5)
        assert np.abs(ends[0][layer] - ends[1][layer]).max() > 1e-3
    np.testing.assert_allclose(arrays["codes"], (anna.codes + bert.codes) / 2, atol=1e-6)
    quarter = session.weight_offsets(replace(between, arrays=Trajectory([anna, bert]).person(0)[0], steps=2))
    np.testing.assert_array_equal(quarter[0], ends[0][0])


def test_a_film_begins_and_ends_with_its_people(session: Session, people: list[Inversion]) -> None:
    frames = list(session.frames(Trajectory(people), 5))
    assert len(frames) == 5
    for place, person in ((0, people[0]), (-1, people[1])):
        np.testing.assert_array_equal(frames[place], person.image)
    assert len({frame.tobytes() for frame in frames}) == 5
    loop = list(session.frames(Trajectory(people, loop=True, easing="linear"), 6))
    np.testing.assert_array_equal(loop[0], people[0].image)
    np.testing.assert_array_equal(loop[3], people[1].image)
    for there, back in ((1, 5), (2, 4)):
        assert np.abs(loop[there].astype(int) - loop[back]).max() <= 1
    assert np.abs(loop[1].astype(int) - loop[2]).max() > 1
    smooth = list(session.frames(Trajectory(people, easing="smooth"), 9))
    np.testing.assert_array_equal(smooth[4], list(session.frames(Trajectory(people, easing="linear"), 3))[1])
    assert not np.array_equal(smooth[1], list(session.frames(Trajectory(people, easing="linear"), 9))[1])


def test_a_film_along_directions(session: Session, people: list[Inversion]) -> None:
    trajectory = Trajectory(people[:1], {"smile": (-4, 4), "pose": (1, 1)}, easing="linear")
    frames = list(session.frames(trajectory, 5, batch=2))
    edits = [{"smile": strength, "pose": 1} for strength in (-4, -2, 0, 2, 4)]
    for frame, drawn in zip(frames, session.edit(people[0], edits), strict=True):
        assert np.abs(frame.astype(int) - drawn).max() <= 1
    loop = list(session.frames(replace(trajectory, loop=True), 8))
    for frame, strength in zip(loop, (-4, -2, 0, 2, 4, 2, 0, -2), strict=True):
        drawn = session.edit(people[0], {"smile": strength, "pose": 1})[0]
        assert np.abs(frame.astype(int) - drawn).max() <= 1
    both = list(session.frames(Trajectory(people, {"smile": (0, 3)}), 4))
    np.testing.assert_array_equal(both[0], people[0].image)
    np.testing.assert_array_equal(both[3], session.edit(people[1], {"smile": 3})[0])


def test_what_is_no_way_is_refused_before_a_frame(
    session: Session, people: list[Inversion], toys: Callable[..., Path]
) -> None:
    for trajectory, frames, batch, error in (
        (Trajectory([]), 5, 8, ArrayError),
        (Trajectory(people, easing="bouncy"), 5, 8, ArrayError),
        (Trajectory(people), 1, 8, ArrayError),
        (Trajectory(people), 100_001, 8, ArrayError),
        (Trajectory(people), 5, 0, ArrayError),
        (Trajectory(people, {"grin": (0, 1)}), 5, 8, DirectionError),
        (Trajectory(people, {"smile": (0, 101)}), 5, 8, DirectionError),
        (Trajectory(people, {"smile": (float("nan"), 1)}), 5, 8, DirectionError),
        (Trajectory([people[0], replace(people[1], model="f" * 64)]), 5, 8, InversionError),
    ):
        with pytest.raises(error):
            session.frames(trajectory, frames, batch)
    separable = load(toys("hyperstyle", separable=True), backend="onnxruntime", threads=1)
    picture = np.zeros((32, 32, 3), np.uint8)
    some = [separable.invert(picture, steps=steps) for steps in (1, 2)]
    with pytest.raises(InversionError, match=r"different numbers of steps. Got: 1, 2"):
        separable.frames(Trajectory(some), 3)
    same = [some[1], separable.invert(picture + 90, steps=2)]
    np.testing.assert_array_equal(list(separable.frames(Trajectory(same), 3))[2], same[1].image)


def test_the_command(
    bundle: Path, files: list[Path], session: Session, people: list[Inversion], tmp_path: Path
) -> None:
    command = ("animate", bundle, *files, "--seconds", 0.5, "--rate", 10, "--backend", "onnxruntime")
    result = run(*command, "-o", tmp_path / "film.webp")
    assert result.exit_code == 0, result.output
    assert "film.webp  5 frames, 0.5 s" in result.stdout
    assert len(frames_of(tmp_path / "film.webp")[0]) == 5
    assert run(*command, "-o", tmp_path / "film.webp").exit_code == 2
    assert run(*command, "-o", tmp_path / "film.webp", "--overwrite", "--loop").exit_code == 0
    along = ("--direction", "smile=-4:4", "--direction", "pose=1", "--easing", "linear")
    assert run("animate", bundle, files[0], *along, "--seconds", 0.1, "-o", tmp_path / "film").exit_code == 0
    expected = session.edit(people[0], [{"smile": strength, "pose": 1} for strength in (-4, 0, 4)])
    for frame, drawn in zip(frames_of(tmp_path / "film")[0], expected, strict=True):
        assert np.abs(frame.astype(int) - drawn).max() <= 1
    for wrong, said in (
        ((files[0],), "Nothing would move"),
        ((files[0], "--direction", "smile=2"), "Nothing would move"),
        ((files[0], "--direction", "smile=1:2:3"), "neither like smile=2.5 nor like smile=-3:3"),
        ((files[0], "--direction", "grin=1:2"), "no direction grin"),
        ((*files, "--seconds", 1e9), "number of frames is out of range"),
        ((tmp_path / "gone", *files), "Cannot read the inversion"),
    ):
        result = run("animate", bundle, *wrong, "-o", tmp_path / "other.gif")
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
        assert not (tmp_path / "other.gif").exists()
