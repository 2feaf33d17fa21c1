"""A person's generator as an ONNX file of its own: what the session draws, with no other file, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import CheckpointError, ExportError, InversionError, OutputError
from hyperstyle_deploy.export import personal
from hyperstyle_deploy.export.layout import generator_shape
from hyperstyle_deploy.export.networks.stylegan2 import Generator
from hyperstyle_deploy.export.personal import personalize
from hyperstyle_deploy.export.personal_weights import write_state
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.session import Session, load

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def session(tiny_bundle: Path) -> Session:
    return load(tiny_bundle, backend="onnxruntime")


@pytest.fixture(scope="module")
def person(session: Session) -> Inversion:
    return session.invert(DATA / "faces.png", steps=2)


def drawn(path: Path, codes: np.ndarray, **more: np.ndarray) -> np.ndarray:
    """By ONNX Runtime alone."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(
        None, {"codes": codes, **more}
    )[0]


def channels(session: Session) -> int:
    return sum(layer.in_channels for layer in session.manifest.layers)


def test_it_draws_what_the_session_draws(session: Session, person: Inversion, tmp_path: Path) -> None:
    written = personalize(session, person, tmp_path / "me.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["me.onnx"]
    assert written.bytes == (tmp_path / "me.onnx").stat().st_size
    codes = np.stack([person.codes, person.codes + 0.1, person.codes - 0.1])
    expected = session.person(person).image(codes)
    assert np.abs(drawn(tmp_path / "me.onnx", codes) - expected).max() <= 5e-5
    assert np.abs(drawn(tmp_path / "me.onnx", codes[:1]) - expected[:1]).max() <= 5e-5
    model = onnx.load(tmp_path / "me.onnx")
    assert [value.name for value in model.graph.input] == ["codes"]
    assert [value.name for value in model.graph.output] == ["image"]
    assert {prop.key for prop in model.metadata_props} == {"model", "licence", "domain"}
    assert str(tmp_path).encode() not in model.SerializeToString()


def test_it_is_that_persons(session: Session, person: Inversion, tmp_path: Path) -> None:
    other = session.invert(DATA / "cars.png", steps=2)
    personalize(session, person, tmp_path / "me.onnx")
    personalize(session, other, tmp_path / "other.onnx")
    mine, theirs = (drawn(tmp_path / f"{name}.onnx", person.codes[None]) for name in ("me", "other"))
    assert np.abs(mine - theirs).max() > 1e-3


def test_half_the_size(session: Session, person: Inversion, tmp_path: Path) -> None:
    whole = personalize(session, person, tmp_path / "whole.onnx")
    half = personalize(session, person, tmp_path / "half.onnx", half=True)
    assert half.bytes < 0.6 * whole.bytes
    assert 0 < half.difference < 2e-2


def test_styles_move_the_picture_and_may_be_left_out(session: Session, person: Inversion, tmp_path: Path) -> None:
    personalize(session, person, tmp_path / "me.onnx", styles=True)
    codes = np.stack([person.codes] * 2)
    plain = drawn(tmp_path / "me.onnx", codes)
    assert np.abs(plain - session.person(person).image(codes)).max() <= 5e-5
    model = onnx.load(tmp_path / "me.onnx")
    assert {value.name for value in model.graph.input} == {"codes", "styles"}
    spans = {prop.key: prop.value for prop in model.metadata_props}
    for layer in session.manifest.layers:
        first, end = map(int, spans[f"styles.{layer.name}"].split(":"))
        assert end - first == layer.in_channels
        offsets = np.zeros((2, channels(session)), np.float32)
        offsets[1, first + 1] = 4
        moved = drawn(tmp_path / "me.onnx", codes, styles=offsets)
        np.testing.assert_array_equal(moved[0], plain[0])
        assert np.abs(moved[1] - plain[1]).max() > 1e-4, layer.name
        both = drawn(tmp_path / "me.onnx", codes, styles=offsets[1:])
        np.testing.assert_allclose(both[0], moved[1], atol=1e-5)


def test_a_style_is_what_the_layers_affine_map_gives(session: Session, person: Inversion, tmp_path: Path) -> None:
    """Moving a code by d moves the styles of its layers by A d: the same picture both ways."""
    personalize(session, person, tmp_path / "me.onnx", styles=True)
    last = session.manifest.layers[-1]
    model = onnx.load(session.bundle.graph("synthesis"))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    affine = weights[f"drawing.convs.{last.index}.modulation.weight"]
    step = np.random.default_rng(0).standard_normal(person.codes.shape[1]).astype(np.float32)
    codes = person.codes[None].copy()
    codes[0, last.style] += step
    offsets = np.zeros((1, channels(session)), np.float32)
    offsets[0, -last.in_channels :] = affine @ step
    through = drawn(tmp_path / "me.onnx", person.codes[None], styles=offsets)
    np.testing.assert_allclose(through, session.person(person).image(codes), atol=5e-5)


@pytest.mark.parametrize("options", [{}, {"styles": True}, {"half": True}])
def test_methods_without_weights_of_their_own(
    tinies: Callable[..., Path], tmp_path: Path, options: dict[str, bool]
) -> None:
    session = load(tinies("e4e"), backend="onnxruntime")
    person = session.invert(DATA / "faces.png")
    assert personalize(session, person, tmp_path / "me.onnx", **options).difference < 2e-2


def test_before_any_step_it_is_the_generator(session: Session, tmp_path: Path) -> None:
    person = session.invert(DATA / "faces.png", steps=0)
    personalize(session, person, tmp_path / "me.onnx")
    expected = session.person(person).image()
    assert np.abs(drawn(tmp_path / "me.onnx", person.codes[None]) - expected).max() <= 5e-5


def test_nothing_appears_that_draws_something_else(
    session: Session, person: Inversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal, "_difference", lambda *arguments: float("nan"))
    with pytest.raises(ExportError, match="draws something else"):
        personalize(session, person, tmp_path / "me.onnx")
    monkeypatch.undo()
    with pytest.raises(OutputError):
        personalize(session, person, tmp_path / "nowhere" / "me.onnx")
    stranger = Inversion(person.arrays, person.steps, person.method, "f" * 64)
    with pytest.raises(InversionError, match="another model"):
        personalize(session, stranger, tmp_path / "me.onnx")
    assert not list(tmp_path.iterdir())


def test_the_state_dict_is_the_persons_generator(
    session: Session, person: Inversion, tiny_checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    write_state(session, person, tiny_checkpoints[0], tmp_path / "me.safetensors")
    state = load_file(tmp_path / "me.safetensors")
    generator = Generator(generator_shape(state, None))
    generator.load_state_dict(state)
    with torch.no_grad():
        image = generator(torch.from_numpy(person.codes[None])).numpy()
    assert np.abs(image - session.person(person).image()).max() <= 5e-5
    with pytest.raises(CheckpointError, match="generator is not from"):
        write_state(session, person, tiny_checkpoints[1], tmp_path / "other.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["me.safetensors"]


def test_the_command(
    tiny_bundle: Path, session: Session, person: Inversion, tiny_checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    person.save(tmp_path / "me.inversion")
    arguments = [
        "personalize",
        tiny_bundle,
        tmp_path / "me.inversion",
        "-o",
        tmp_path / "me.onnx",
        "--half",
        "--styles",
    ]
    more = ["--offsets", tmp_path / "offsets", "--state", tiny_checkpoints[0], tmp_path / "state"]
    result = CliRunner().invoke(main, [str(word) for word in [*arguments, *more]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "me.onnx" in result.stdout
    offsets = load_arrays(tmp_path / "offsets")
    for layer, offset in session.weight_offsets(person).items():
        np.testing.assert_array_equal(offsets[str(layer)], offset)
    assert {path.name for path in tmp_path.iterdir()} == {"me.inversion", "me.onnx", "offsets", "state"}
    wrong = [*arguments[:4], tmp_path / "no.onnx", "--state", tiny_checkpoints[1], tmp_path / "no.state"]
    result = CliRunner().invoke(main, [str(word) for word in wrong], catch_exceptions=False)
    assert (result.exit_code, "generator is not from" in result.stderr) == (2, True)
    assert not list(tmp_path.glob("*no.*"))
    arguments[2] = tmp_path / "gone"
    result = CliRunner().invoke(main, [str(word) for word in arguments], catch_exceptions=False)
    assert (result.exit_code, "Cannot read the inversion" in result.stderr) == (2, True)
