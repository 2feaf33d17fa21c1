"""Directions in styles: their files and import, what they draw, and bundles that cannot draw them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hyperstyle_deploy.errors import ArrayError, DirectionError
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.channels import laid_out, spans, vector_of
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import small_manifest
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import smile
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run

PHOTO = np.random.default_rng(5).integers(0, 255, (40, 40, 3)).astype(np.uint8)
GENERATOR = small_manifest().generator


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "styled.bundle"
    write_toy_bundle(path, styles=True, generators=(FineTunedSpec("toonify", (5, 7), None),))
    Directions(path, read_manifest(path)).add([smile("0" * 64)])
    return path


@pytest.fixture
def session(bundle: Path) -> Session:
    return load(bundle, backend="onnxruntime", threads=1)


@pytest.fixture
def person(session: Session) -> Inversion:
    return session.invert(PHOTO, steps=2)


def brows(strength: float = 1.0, model: str = "0" * 64) -> Direction:
    vector = np.float32(strength) * np.ones((1, GENERATOR.channels), np.float32)
    return Direction("brows", vector, (0, len(GENERATOR.layers)), (-5.0, 5.0), model, in_styles=True)


@pytest.mark.parametrize("backend", available())
def test_styles_are_added_row_by_row_with_the_persons_weights(bundle: Path, backend: str) -> None:
    """The toy adds a row's mean style before the nonlinearity that ends it: so that can be undone."""
    session = load(bundle, backend=backend)
    person = session.invert(PHOTO, steps=2)
    drawn = session.person(person)
    styles = np.zeros((3, GENERATOR.channels), np.float32)
    styles[1], styles[2, :7] = 0.25, 1.0
    codes = np.repeat(person.codes[None], 3, 0)
    found, plain = drawn.image(codes, styles), drawn.image()
    np.testing.assert_allclose(found[0], plain[0], atol=1e-5)
    # A row's mean comes first, then the weights' factors: those of a person, whatever the styles.
    before = np.arctanh(np.clip(np.stack([plain[0], found[1], found[2]]), -0.999, 0.999).astype(np.float64))
    safe = (np.abs(np.stack([plain[0], found[1], found[2]])) < 0.98).all(0)
    ratio = (before[2] - before[0])[safe] / (before[1] - before[0])[safe]
    np.testing.assert_allclose(ratio, 7 / GENERATOR.channels / 0.25, rtol=1e-2)


def test_edits_mix_codes_and_styles(session: Session, person: Inversion) -> None:
    edits = [{}, {brows(): 0.5}, {brows(): 0.5, "smile": 2.0}, {"smile": 2.0}]
    pictures = session.edit(person, edits)
    codes = session.edited_codes(person, edits)
    np.testing.assert_array_equal(codes[1], person.codes)
    np.testing.assert_array_equal(codes[2], codes[3])
    styles = np.zeros((4, GENERATOR.channels), np.float32)
    styles[1:3] = 0.5
    np.testing.assert_array_equal(pictures, session.person(person).draw(codes, styles))
    assert np.abs(pictures[0].astype(int) - person.image).max() <= 1
    assert np.abs(pictures[1].astype(int) - pictures[0]).max() > 5
    assert np.abs(pictures[2].astype(int) - pictures[3]).max() > 5


def test_films_and_further_generators_take_them(bundle: Path, session: Session, person: Inversion) -> None:
    film = list(session.frames(Trajectory([person], {brows(): (0.0, 0.5)}, easing="linear"), 3))
    expected = session.edit(person, [{brows(): strength} for strength in (0.0, 0.25, 0.5)])
    assert np.abs(np.stack(film).astype(int) - expected).max() <= 1
    toon = load(bundle, backend="onnxruntime", generator="toonify")
    drawn = toon.invert(PHOTO, steps=2)
    assert np.abs(toon.edit(drawn, {brows(): 0.5})[0].astype(int) - drawn.image).max() > 5


def test_a_bundle_without_the_graph_says_how_to_get_it(toys: Callable[..., Path]) -> None:
    path = toys("hyperstyle")
    session = load(path, backend="onnxruntime")
    person = session.invert(PHOTO, steps=1)
    for refused in (
        lambda: session.edit(person, {brows(): 1.0}),
        lambda: session.person(person).draw(None, np.zeros((1, GENERATOR.channels))),
        lambda: Directions(path, session.manifest).add([brows()]),
    ):
        with pytest.raises(
            DirectionError, match=r"no graph that takes them.*Export the checkpoint again with --styles"
        ):
            refused()


def test_tuned_generators_take_none(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path / "pti.bundle", gradients=("pti",), styles=True)
    session = load(tmp_path / "pti.bundle", backend="onnxruntime", method="pti")
    person = session.invert(PHOTO, steps=1)
    with pytest.raises(DirectionError, match="pti cannot move channels of styles"):
        session.edit(person, {brows(): 1.0})


def test_styles_of_another_shape_are_refused(session: Session, person: Inversion) -> None:
    drawn = session.person(person)
    for styles in (np.zeros((2, GENERATOR.channels)), np.zeros((1, 3)), np.full((1, GENERATOR.channels), np.nan)):
        with pytest.raises(ArrayError, match="styles"):
            drawn.draw(None, styles)


def test_a_file_is_read_back(tmp_path: Path) -> None:
    brows(0.5).save(tmp_path / "brows.safetensors")
    found = Direction.load(tmp_path / "brows.safetensors")
    assert (found.kind, found.in_styles, found.rows) == ("channels", True, (0, len(GENERATOR.layers)))
    np.testing.assert_array_equal(found.vector, brows(0.5).vector)
    with pytest.raises(DirectionError, match="does not fit the styles"):
        replace(found, vector=found.vector[:, 1:]).check(small_manifest())


def test_single_channels(bundle: Path, session: Session, person: Inversion) -> None:
    result = run("directions", "channels", str(bundle), "gaze", "convs.1:3=2", "to_rgb1:0=-1", "--strengths", "-9:9")
    assert result.exit_code == 0, result.output
    direction = session.directions.read("gaze")
    places = spans(GENERATOR)
    expected = np.zeros(GENERATOR.channels, np.float32)
    expected[places["convs.1"].start + 3], expected[places["to_rgb1"].start] = 2, -1
    np.testing.assert_array_equal(direction.vector[0], expected)
    assert (direction.rows, direction.strengths) == ((1, 4), (-9, 9))
    assert session.edit(person, {"gaze": 1.0}).shape == (1, 32, 32, 3)
    for channel in ("convs.1:999", "convs.9:0", "convs.1", "convs.1:-1"):
        with pytest.raises(DirectionError, match=r"no such channel.*convs\.0"):
            vector_of({channel: 1.0}, GENERATOR)
    assert run("directions", "channels", str(bundle), "gaze", "convs.1:3=1:2:3").exit_code == 2


def test_files_of_channels(bundle: Path, tmp_path: Path, session: Session) -> None:
    draw, places = np.random.default_rng(1), spans(GENERATOR)
    whole = draw.standard_normal(GENERATOR.channels).astype(np.float32)
    np.save(tmp_path / "whole.npy", whole)
    convolutions = [layer for layer in GENERATOR.layers if layer.demodulated][:3]
    first = draw.standard_normal(sum(layer.in_channels for layer in convolutions)).astype(np.float32)
    np.save(tmp_path / "first.npy", first[None])
    save_file({"convs.0": whole[places["convs.0"]], "conv1": whole[places["conv1"]]}, tmp_path / "layers.safetensors")
    files = [str(tmp_path / name) for name in ("whole.npy", "first.npy", "layers.safetensors")]
    assert run("directions", "import", str(bundle), *files, "--styles").exit_code == 0
    np.testing.assert_array_equal(session.directions.read("whole").vector[0], whole)
    found = session.directions.read("first").vector[0]
    np.testing.assert_array_equal(np.concatenate([found[places[layer.name]] for layer in convolutions]), first)
    assert np.count_nonzero(found) == first.size
    layers = session.directions.read("layers")
    np.testing.assert_array_equal(layers.vector[0, places["convs.0"]], whole[places["convs.0"]])
    assert (layers.rows, np.count_nonzero(layers.vector)) == ((0, 3), 2 * GENERATOR.layers[0].in_channels)


@pytest.mark.parametrize(
    ("array", "arguments", "match"),
    [
        (np.ones(5, np.float32), (), "no direction in these styles"),
        (np.ones(GENERATOR.channels, np.int64), (), "no direction in these styles"),
        (np.full(GENERATOR.channels, np.inf, np.float32), (), "NaN or Inf"),
        (np.zeros(GENERATOR.channels, np.float32), (), "moves no rows"),
        (np.ones(GENERATOR.channels, np.float32), ("--rows", "0:2"), "to move styles"),
    ],
)
def test_what_is_no_direction_in_styles(
    array: np.ndarray, arguments: tuple[str, ...], match: str, bundle: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "bad.npy", array)
    result = run("directions", "import", str(bundle), str(tmp_path / "bad.npy"), "--styles", *arguments)
    assert result.exit_code == 2
    assert match in " ".join(result.output.split())


def test_channels_of_a_layer_that_are_too_few(bundle: Path, tmp_path: Path) -> None:
    save_file({"convs.0": np.ones(3, np.float32)}, tmp_path / "layers.safetensors")
    result = run("directions", "import", str(bundle), str(tmp_path / "layers.safetensors"), "--styles")
    assert result.exit_code == 2
    assert "not that layer's style" in " ".join(result.output.split())


def test_layouts_that_fit() -> None:
    assert laid_out(np.ones(GENERATOR.channels + 1, np.float32), GENERATOR) is None
    assert laid_out(np.ones(GENERATOR.layers[0].in_channels, np.float32), GENERATOR) is not None
