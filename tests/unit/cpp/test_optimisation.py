"""The C++ runtime's optimisations give the Python runtime's results bit for bit, and their files travel."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.cpp.conftest import PHOTO, Probe, run
from hyperstyle_deploy.tests.unit.cpp.test_runtime import check_equal
from hyperstyle_deploy.tests.unit.golden_optimisation import Given, State
from hyperstyle_deploy.tests.unit.runtime.test_optimisation import LOW, broken, running_away, with_root

Toys = Callable[..., Path]
GRADIENTS = ("projection", "pti", "pti-locality")
#: Base, optimisation, settings, and the example's options for them.
FORMS: dict[str, tuple[str, str, dict[str, Any], tuple[object, ...]]] = {
    "projection in w+": ("e4e", "projection", {"seed": 7}, ("--seed", 7)),
    "projection in w": ("psp", "projection", {"space": "w", "rate": 0.05}, ("--space", "w", "--rate", 0.05)),
    "projection, weighed": ("e4e", "projection", {"loss": {"mse": 2.0}}, ("--loss", "mse=2")),
    "pti behind an encoder": ("e4e", "pti", {"rate": 0.01}, ("--rate", 0.01)),
    "pti behind restyle": ("restyle-psp", "pti", {"rate": 0.01}, ("--rate", 0.01)),
    "pti behind hyperstyle": ("hyperstyle", "pti", {"rate": 0.01}, ("--rate", 0.01)),
    "idinvert": ("idinvert", "idinvert", {"rate": 0.02}, ("--rate", 0.02)),
    "idinvert, weighed": (
        "idinvert",
        "idinvert",
        {"loss": {"mse": 2.0, "encoder": 0.0}},
        ("--loss", "mse=2", "--loss", "encoder=0"),
    ),
    "pti, held locally": (
        "e4e",
        "pti",
        {"locality": True, "seed": 3, "rate": 0.01},
        ("--locality", "--seed", 3, "--rate", 0.01),
    ),
}


def with_gradients(toys: Toys, base: str) -> Path:
    """The toy bundle of a method, and all gradients that it may have; IDInvert has its own."""
    return toys(base) if base == "idinvert" else toys(base, gradients=GRADIENTS)


def python(bundle: Path, method: str, settings: dict[str, Any]) -> Session:
    return load(bundle, backend="onnxruntime", threads=1, method=method, settings=Settings(**settings))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_optimisation_is_pythons(
    release: Path,
    toys: Toys,
    pictures: list[Path],
    tmp_path: Path,
    form: tuple[str, str, dict[str, Any], tuple[object, ...]],
) -> None:
    base, method, settings, options = form
    bundle = with_gradients(toys, base)
    command = [release / "invert" / "invert", bundle, *pictures, "-o", tmp_path, "--threads", 1]
    text = run(*command, "--method", method, "--steps", 30, "--store", "float32", *options)
    session = python(bundle, method, settings)
    assert text.startswith(f"{method} on onnxruntime")
    for photo in pictures:
        expected = session.invert(photo, steps=30)
        found = Inversion.load(tmp_path / f"{photo.stem}.inversion")
        check_equal(found, expected)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{photo.stem}.png")), expected.image)
        # Progress tells the loss of every step.
        *_, last = session.refine(session.prepare([photo]), 30)
        line = "  ".join(f"{term} {loss:.6f}" for term, loss in sorted(last.losses(0).items()))
        assert f"  step 30  loop L2 {expected.l2[-1]:.6f}  {line}  " in text
        assert Image.open(tmp_path / f"{photo.stem}.strip.png").size == (12 * 32, 32)  # steps 0, 3, ... 30


@pytest.mark.parametrize(("method", "steps"), [("projection", 4), ("pti", 3)])
def test_exported_gradients_give_what_python_gives(
    release: Path, optimised: Path, tmp_path: Path, method: str, steps: int
) -> None:
    """Real gradients, LPIPS among them; PTI goes on from what HyperStyle has found."""
    command = [release / "invert" / "invert", optimised, PHOTO, "-o", tmp_path, "--threads", 1]
    run(*command, "--method", method, "--steps", steps, "--store", "float32", "--until-lpips", 0)
    expected = python(optimised, method, {"until_lpips": 0.0}).invert(PHOTO, steps=steps)
    assert expected.steps == steps
    check_equal(Inversion.load(tmp_path / f"{PHOTO.stem}.inversion"), expected)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{PHOTO.stem}.png")), expected.image)


@pytest.mark.parametrize("steps", [0, 6])
def test_exported_gradients_of_idinvert_give_what_python_gives(
    release: Path, in_domain: Path, tmp_path: Path, steps: int
) -> None:
    """A StyleGAN1 with its encoder and VGG16 in the loss; without steps no gradient is computed."""
    command = [release / "invert" / "invert", in_domain, PHOTO, "-o", tmp_path, "--threads", 1, "--steps", steps]
    text = run(*command)
    assert ("  feature " in text) == (steps > 0)
    expected = python(in_domain, "idinvert", {}).invert(PHOTO, steps=steps)
    check_equal(Inversion.load(tmp_path / f"{PHOTO.stem}.inversion"), expected)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{PHOTO.stem}.png")), expected.image)


def read_states(
    probe: Probe,
    session: Session,
    photo: Path,
    folder: Path,
    steps: int,
    form: str = "w+",
    draws: Path | None = None,
    weights: Sequence[str] = (),
) -> list[State]:
    """Every state of C++'s method of that name; ``session`` is Python's, and says how its arrays are shaped."""
    (folder / "states").mkdir()
    words = ("states", session.bundle.path, photo, folder / "states", steps, session.method, form, draws or "-")
    assert probe.run((*words, *weights)) == [(0, "")]

    def read(name: str, index: int, *shape: int) -> np.ndarray:
        return np.fromfile(folder / "states" / f"{name}.{index}", np.float32).reshape(shape)

    image = session.manifest.image
    terms = [path.name[len("loss.") : -len(".0")] for path in (folder / "states").glob("loss.*.0")]
    return [
        State(
            index,
            {term: float(read(f"loss.{term}", index, 1)[0]) for term in terms},
            {spec.name: read(spec.name, index, *spec.sized(index)) for spec in session._backend.method.state()},
            read("reconstruction", index, 3, image.input_height, image.input_width),
        )
        for index in range(steps + 1)
    ]


def check_states(states: Sequence[State], session: Session, photo: Path) -> None:
    """Bit for bit as Python's."""
    steps = session.refine(session.prepare([photo]), len(states) - 1)
    for found, expected in zip(states, map(State.of, steps), strict=True):
        np.testing.assert_equal(found.losses, expected.losses)  # a NaN, too: of a draw that was not given
        np.testing.assert_array_equal(found.reconstruction, expected.reconstruction)
        for name, array in expected.arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array, err_msg=f"{name} {found.index}")


@pytest.mark.parametrize("method", ["projection", "pti", "idinvert"])
def test_states_are_pythons_on_draws_that_are_given(probe: Probe, toys: Toys, tmp_path: Path, method: str) -> None:
    """What the golden tests stand on: draws come from files, and every state goes into some."""
    bundle = with_gradients(toys, "idinvert" if method == "idinvert" else "e4e")
    draw = np.random.default_rng(5)
    codes = draw.standard_normal((STYLES, WIDTH), np.float32)
    own: dict[str, Any] = {"pti": {"pivot": codes, "locality": True}, "projection": {"loss": {"mse": 2.0}}}.get(
        method, {}
    )
    session = load(bundle, backend="onnxruntime", threads=2, method=method, settings=Settings(**own))
    noises = sum(layer.resolution**2 for layer in session.manifest.layers if layer.demodulated)
    sizes = {"projection": {"noises": noises, "perturbation": STYLES * WIDTH}, "pti": {"latent": WIDTH}}.get(method, {})
    given = Given({(name, i): draw.standard_normal(size, np.float32) for name, size in sizes.items() for i in range(3)})
    folder = given.write(tmp_path / "draws")
    (folder / "pivot.0").write_bytes(codes.tobytes())
    form, weights = ("held locally" if method == "pti" else "w+"), (["mse=2"] if method == "projection" else [])
    states = read_states(probe, session, PHOTO, tmp_path, 5, form, folder if sizes else None, weights)
    if sizes:
        session._backend.method.draws = given.draws  # type: ignore[attr-defined]
    check_states(states, session, PHOTO)


def test_a_pivot_that_is_given_stays(release: Path, toys: Toys, pictures: list[Path], tmp_path: Path) -> None:
    bundle = toys("hyperstyle", gradients=GRADIENTS)
    pivot = np.random.default_rng(1).standard_normal((STYLES, WIDTH)).astype(np.float32)
    model = load(bundle, backend="onnxruntime").manifest.model
    Inversion({"codes": pivot}, 0, "projection", model).save(tmp_path / "pivot.inversion")
    command = [release / "invert" / "invert", bundle, pictures[0], "-o", tmp_path, "--threads", 1, "--method", "pti"]
    run(*command, "--steps", 4, "--store", "float32", "--pivot", tmp_path / "pivot.inversion")
    expected = python(bundle, "pti", {"pivot": pivot}).invert(pictures[0], steps=4)
    check_equal(Inversion.load(tmp_path / "one.inversion"), expected)


@pytest.mark.parametrize("stored", ["float32", "float16", "int8"])
def test_files_go_both_ways_in_every_type(
    release: Path, probe: Probe, toys: Toys, pictures: list[Path], tmp_path: Path, stored: str
) -> None:
    """What C++ writes Python reads as Python would have written it, and the other way round; both draw the same."""
    bundle = shutil.copytree(toys("hyperstyle", gradients=GRADIENTS), tmp_path / "bundle")
    command = [release / "invert" / "invert", bundle, pictures[0], "-o", tmp_path, "--threads", 1]
    run(*command, "--method", "pti", "--rate", 0.01, "--steps", 5, "--store", stored)
    session = python(bundle, "pti", {"rate": 0.01})
    expected = session.invert(pictures[0], steps=5)
    expected.save(tmp_path / "python.inversion", stored)
    check_equal(Inversion.load(tmp_path / "one.inversion"), Inversion.load(tmp_path / "python.inversion"))
    drawing = ("draw", bundle, "pti", tmp_path / "python.inversion", tmp_path / "drawn")
    # Twice the person, in the graph for many codes: an edit needs a text, so a direction at 0.
    vector = np.ones((1, WIDTH), np.float32)
    session.directions.add([Direction("none", vector, (0, STYLES), (-1, 1), session.manifest.model)])
    assert [code for code, _ in probe.run((*drawing, "none=0", "none=0"))] == [0]
    drawn = np.fromfile(tmp_path / "drawn", np.uint8).reshape(2, 32, 32, 3)
    want = session.synthesize(Inversion.load(tmp_path / "python.inversion"), np.repeat(expected.codes[None], 2, 0))
    np.testing.assert_array_equal(drawn, want)


def test_early_stops_and_what_is_not_finite(programs: Path, toys: Toys, tmp_path: Path) -> None:
    for base, method in (
        ("e4e", "projection"),
        ("hyperstyle", "pti"),
        ("restyle-e4e", "pti"),
        ("idinvert", "idinvert"),
    ):
        text = run(programs / "session_checks", with_gradients(toys, base), PHOTO, method, cwd=tmp_path)
        assert "FAIL" not in text
        assert text.count("ok  ") >= 50


@pytest.mark.parametrize("output", ["loss.mse", "norms"])
@pytest.mark.parametrize("method", LOW)
def test_what_is_not_finite_stops_a_photo_as_in_python(probe: Probe, tmp_path: Path, output: str, method: str) -> None:
    bundle = broken(tmp_path, with_root(output, LOW[method]), method).path
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    answers = probe.run(("optimise", bundle, method, tmp_path / "black.png", tmp_path / "a.inversion", 20))
    assert answers == [(0, "")]
    expected = load(bundle, backend="onnxruntime", method=method).invert(tmp_path / "black.png", steps=20)
    found = Inversion.load(tmp_path / "a.inversion")
    assert 0 < found.steps < 20
    assert found.source == expected.source
    check_equal(found, expected)


def test_a_photo_that_ran_away_gets_back_its_best_state(probe: Probe, tmp_path: Path) -> None:
    bundle = broken(tmp_path, running_away("norms", LOW["projection"])).path
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    answers = probe.run(("optimise", bundle, "projection", tmp_path / "black.png", tmp_path / "a.inversion", 20))
    assert answers == [(0, "")]
    found = Inversion.load(tmp_path / "a.inversion")
    assert found.steps < int(found.source["result.stopped"].removeprefix("step ").partition(":")[0]) - 1
    check_equal(found, load(bundle, "onnxruntime", method="projection").invert(tmp_path / "black.png", steps=20))


def test_a_loss_that_is_not_finite_at_the_start_is_an_error(probe: Probe, tmp_path: Path) -> None:
    bundle = broken(tmp_path, with_root("loss.mse", 1e9)).path
    ((code, text),) = probe.run(("optimise", bundle, "projection", PHOTO, tmp_path / "a.inversion", 2))
    assert code == 13
    assert text.startswith("The optimisation cannot start. Got: step 0: mse is not finite.")


@pytest.mark.parametrize(
    ("base", "options", "said"),
    [
        ("e4e", ("--method", "pti", "--rate", "100"), "rate is out of range. Got: 100. Expected: 1e-07 to 10."),
        ("e4e", ("--method", "projection", "--space", "z"), "Unknown space of codes. Got: z. Expected: w or w+."),
        ("e4e", ("--method", "pti", "--until-lpips", "0.1"), "The bundle's loss has no LPIPS to stop by. Got: mse."),
        ("e4e", ("--method", "pti", "--loss", "lpips=1"), "The bundle's loss has no such term. Got: lpips."),
        ("e4e", ("--method", "psp"), "The bundle does not run this method. Got: psp. Expected: e4e or one of"),
        ("e4e", ("--seed", "1"), "e4e has no settings. Expected: none, or an optimisation as the method."),
        (
            "e4e",
            ("--method", "idinvert"),
            "The bundle does not run this method. Got: idinvert. Expected: e4e or one of",
        ),
        ("idinvert", ("--method", "pti"), "pti is for another generator. Got: stylegan1. Expected: stylegan2."),
        ("idinvert", ("--rate", "100"), "rate is out of range. Got: 100. Expected: 1e-07 to 10."),
        ("idinvert", ("--loss", "feature=1"), "loss has no such term. Got: feature. Expected: mse, encoder."),
        ("idinvert", ("--until-lpips", "0.1"), "The bundle's loss has no LPIPS to stop by. Got: mse, encoder."),
    ],
)
def test_wrong_settings_are_told_as_in_python(
    release: Path, toys: Toys, tmp_path: Path, base: str, options: tuple[str, ...], said: str
) -> None:
    command = [release / "invert" / "invert", with_gradients(toys, base), PHOTO, "-o", tmp_path, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


def test_a_bundle_without_gradients_says_how_to_export_them(release: Path, toys: Toys, tmp_path: Path) -> None:
    command = [release / "invert" / "invert", toys("e4e"), PHOTO, "-o", tmp_path, "--method", "pti"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "The bundle has no gradient graphs for pti. Got: graphs for e4e alone." in result.stderr
    assert "Export the checkpoint again with --gradients pti." in result.stderr
