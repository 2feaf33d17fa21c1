"""Channels of styles in C++ and C: what Python draws, of the bundle's own generator and of a further one."""

from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH, small_manifest
from hyperstyle_deploy.tests.toy_bundle import ToyBundle, write_toy_bundle
from hyperstyle_deploy.tests.unit.cpp.conftest import Probe
from hyperstyle_deploy.tests.unit.cpp.test_edits import DIRECTION_ERROR, strengths

GENERATOR = small_manifest().generator
#: Of codes alone, of styles alone, of both, of two directions in styles; a row without any beside rows with them.
EDITS = ("", "smile=2", "brows=0.5", "brows=-0.25,smile=1", "brows=0.3,light=2", "light=-100")
GENERATORS = ("", "toonify")


def channels(name: str, seed: int, spread: float = 1.0) -> Direction:
    vector = np.float32(spread) * np.random.default_rng(seed).standard_normal((1, GENERATOR.channels), np.float32)
    return Direction(name, vector, (0, len(GENERATOR.layers)), (-5.0, 2.5), "0" * 64, in_styles=True)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "styled.bundle"
    write_toy_bundle(path, styles=True, gradients=("pti",), generators=(FineTunedSpec("toonify", (5, 7), 2),))
    smile = np.random.default_rng(0).standard_normal((1, WIDTH), np.float32)
    in_codes = Direction("smile", smile, (0, STYLES), (-5, 5), "0" * 64)
    Directions(path, read_manifest(path)).add([channels("brows", 1), channels("light", 2, 0.1), in_codes])
    return path


def opened(bundle: Path, generator: str) -> Session:
    return load(bundle, backend="onnxruntime", threads=1, generator=generator or None)


def saved(session: Session, path: Path, colour: int = 90, steps: int = 2) -> Path:
    session.invert(np.full((40, 40, 3), (250, 10, colour), np.uint8), steps=steps).save(path)
    return path


@pytest.mark.parametrize("generator", GENERATORS)
def test_edits_in_styles_are_pythons(probe: Probe, bundle: Path, tmp_path: Path, generator: str) -> None:
    session = opened(bundle, generator)
    person = session.invert(np.full((40, 40, 3), (250, 10, 90), np.uint8), steps=2)
    person.save(tmp_path / "person")
    edits = [strengths(edit) for edit in EDITS]
    line = ("edit", bundle, generator, tmp_path / "person", tmp_path / "out", *EDITS)
    alone = ("edit", bundle, generator, tmp_path / "person", tmp_path / "alone", "brows=0.5")
    assert probe.run(line, alone) == [(0, "")] * 2
    content = (tmp_path / "out").read_bytes()
    codes = session.edited_codes(person, edits)
    np.testing.assert_array_equal(np.frombuffer(content, np.float32, codes.size).reshape(codes.shape), codes)
    pixels = np.frombuffer(content, np.uint8, offset=codes.nbytes).reshape(-1, 32, 32, 3)
    np.testing.assert_array_equal(pixels, session.edit(person, edits))
    assert len({picture.tobytes() for picture in pixels}) == len(EDITS)
    one = np.frombuffer((tmp_path / "alone").read_bytes(), np.uint8, offset=codes[:1].nbytes).reshape(32, 32, 3)
    np.testing.assert_array_equal(one, session.edit(person, {"brows": 0.5})[0])


@pytest.mark.parametrize("generator", GENERATORS)
def test_any_styles_are_drawn_as_in_python(probe: Probe, bundle: Path, tmp_path: Path, generator: str) -> None:
    session = opened(bundle, generator)
    person = session.invert(np.full((40, 40, 3), (250, 10, 90), np.uint8), steps=2)
    person.save(tmp_path / "person")
    styles = np.random.default_rng(3).standard_normal((3, GENERATOR.channels), np.float32)
    styles.tofile(tmp_path / "styles")
    words = (tmp_path / "person", tmp_path / "styles", tmp_path / "out")
    assert probe.run(("styles", bundle, generator, *words)) == [(0, "")]
    drawn = np.fromfile(tmp_path / "out", np.uint8).reshape(3, 32, 32, 3)
    expected = session.person(person).draw(np.repeat(person.codes[None], 3, 0), styles)
    np.testing.assert_array_equal(drawn, expected)


def test_between_two_people_with_styles(probe: Probe, bundle: Path, tmp_path: Path) -> None:
    session = opened(bundle, "")
    people = [session.invert(np.full((40, 40, 3), colour, np.uint8), steps=2) for colour in (20, 230)]
    for person, name in zip(people, ("one", "other"), strict=True):
        person.save(tmp_path / name)
    frames = list(session.frames(Trajectory(people, {"brows": (0.5, 0.5)}, easing="linear"), 3))
    for frame, time in zip(frames, (0, 0.5, 1), strict=True):
        words = (tmp_path / "one", tmp_path / "other", time, tmp_path / "out", "brows=0.5")
        assert probe.run(("between", bundle, *words)) == [(0, "")]
        pixels = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8).reshape(32, 32, 3)
        assert np.abs(pixels.astype(int) - frame).max() <= 1


def test_directions_in_styles_are_told(probe: Probe, bundle: Path, tmp_path: Path) -> None:
    assert probe.run(("directions", bundle, tmp_path / "out")) == [(0, "")]
    layers = len(GENERATOR.layers)
    expected = [f"brows 0 1 0 {layers} -5 2.5", f"light 0 1 0 {layers} -5 2.5", f"smile 0 0 0 {STYLES} -5 5"]
    assert (tmp_path / "out").read_text().splitlines() == expected


def test_what_cannot_move_styles_says_so(probe: Probe, toy_bundle: ToyBundle, bundle: Path, tmp_path: Path) -> None:
    """A bundle without the graph, an optimisation's generator, and a direction of another width, in Python's words."""
    plain = saved(load(toy_bundle.path, backend="onnxruntime"), tmp_path / "plain")
    (toy_bundle.path / "directions").mkdir()
    channels("brows", 1).save(toy_bundle.path / "directions" / "brows.safetensors")
    tuned = saved(load(bundle, backend="onnxruntime", method="pti"), tmp_path / "tuned")
    own = saved(opened(bundle, ""), tmp_path / "own")
    short = Direction("short", np.ones((1, 3), np.float32), (0, 2), (-1, 1), "0" * 64, in_styles=True)
    short.save(bundle / "directions" / "short.safetensors")
    late = Direction("late", channels("late", 1).vector, (0, 99), (-1, 1), "0" * 64, in_styles=True)
    late.save(bundle / "directions" / "late.safetensors")
    answers = probe.run(
        ("edit", toy_bundle.path, "", plain, tmp_path / "out", "brows=1"),
        ("draw", bundle, "pti", tuned, tmp_path / "out", "brows=1"),
        ("edit", bundle, "", own, tmp_path / "out", "short=1"),
        ("edit", bundle, "", own, tmp_path / "out", "late=1"),
        ("edit", bundle, "", own, tmp_path / "out", "brows=100.5"),
    )
    assert [code for code, _ in answers] == [DIRECTION_ERROR] * 5
    said = (
        "moves channels of styles, and the bundle has no graph that takes them. Expected: a graph synthesis_styles. "
        "Export the checkpoint again with --styles.",
        "pti cannot move channels of styles. Directions in codes can be used.",
        f"short does not fit the styles. Got: 3 channels, up to layer 1. Expected: {GENERATOR.channels} channels of",
        "late does not fit the styles. Got:",
        "The strength of brows is out of range. Got: 100.5. Expected: -100 to 100.",
    )
    for (_, text), words in zip(answers, said, strict=True):
        assert words in text
    assert not (tmp_path / "out").exists()
