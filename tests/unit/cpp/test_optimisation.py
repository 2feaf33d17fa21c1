"""The C++ runtime's projection and PTI give the Python runtime's results bit for bit, and their files travel."""

import shutil
import subprocess
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.gradients.perceptual import ALEXNET, VGG16, Trunk
from hyperstyle_deploy.export.gradients.seeded import write_lpips
from hyperstyle_deploy.export.seeded import draw, published_sizes, write_checkpoints
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.methods.settings import Settings
from hyperstyle_deploy.runtime.methods.tuning import tuned_tensors
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.cpp.conftest import PHOTO, ROOT, Probe, run
from hyperstyle_deploy.tests.unit.cpp.test_runtime import check_equal
from hyperstyle_deploy.tests.unit.runtime.test_optimisation import broken, with_root
from hyperstyle_deploy.tests.unit.test_golden_optimisation import FIRST_LOSS, LATER_LOSS, drawn, sample

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
    "pti, held locally": (
        "e4e",
        "pti",
        {"locality": True, "seed": 3, "rate": 0.01},
        ("--locality", "--seed", 3, "--rate", 0.01),
    ),
}


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
    bundle = toys(base, gradients=GRADIENTS)
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


def published(folder: Path, gradients: str, trunk: Trunk) -> Path:
    """The golden generator behind a seeded pSp, with one optimisation's graphs at 256: minutes, gigabytes."""
    quicken_tracing()
    checkpoints = write_checkpoints(folder, "psp", published_sizes(256))
    return export(checkpoints, folder / "bundle", gradients=[gradients], perceptual=write_lpips(folder, trunk)).path


@pytest.mark.exhaustive
def test_a_golden_tuning_is_the_authors(release: Path, tmp_path: Path) -> None:
    """The authors' five steps at 256 with AlexNet (tests/data/pti256.npz), in C++ alone, within the facts' limits."""
    bundle, golden = published(tmp_path, "pti", ALEXNET), np.load(ROOT / "tests" / "data" / "pti256.npz")
    manifest = read_manifest(bundle)
    styles, width = manifest.generator.styles, manifest.generator.width
    pivot = np.repeat(drawn("pti256.pivot", 1, width) * np.float32(0.5), styles, 0)
    Inversion({"codes": pivot}, 0, "psp", manifest.model).save(tmp_path / "pivot.inversion")
    command = [release / "invert" / "invert", bundle, PHOTO, "-o", tmp_path, "--method", "pti", "--steps", 5]
    run(*command, "--pivot", tmp_path / "pivot.inversion", "--store", "float32")
    found = Inversion.load(tmp_path / f"{PHOTO.stem}.inversion")
    np.testing.assert_allclose(found.l2[0], golden["alex.l2"][0], rtol=FIRST_LOSS)
    np.testing.assert_allclose(found.l2[1:5], golden["alex.l2"][1:5], rtol=LATER_LOSS)
    start = 0
    for name, shape in tuned_tensors(manifest.layers, width).items():
        own = found.arrays["differences"][start : start + prod(shape)]
        start += prod(shape)
        if f"alex.w.{name}" in golden:
            chosen = sample(f"pti256.{name}", prod(shape))
            moved = draw(f"decoder.{name}", shape).reshape(-1)[chosen] + own[chosen]
            want = golden[f"alex.w.{name}"][4, : len(chosen)]
            np.testing.assert_allclose(moved, want, atol=0.1 * 3e-4, rtol=1e-6, err_msg=name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_golden_projection_is_pythons(release: Path, tmp_path: Path, space: str) -> None:
    """On the golden generator with VGG16. The authors' own draws cannot be given to a program; to Python's method they
    are, and with them it is the authors' (test_golden_optimisation.py)."""
    bundle = published(tmp_path, "projection", VGG16)
    command = [release / "invert" / "invert", bundle, PHOTO, "-o", tmp_path, "--method", "projection", "--steps", 3]
    run(*command, "--space", space, "--seed", 5, "--threads", 2)
    session = load(
        bundle, backend="onnxruntime", threads=2, method="projection", settings=Settings(space=space, seed=5)
    )
    check_equal(Inversion.load(tmp_path / f"{PHOTO.stem}.inversion"), session.invert(PHOTO, steps=3))


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
    for base, method in (("e4e", "projection"), ("hyperstyle", "pti"), ("restyle-e4e", "pti")):
        text = run(programs / "session_checks", toys(base, gradients=GRADIENTS), PHOTO, method, cwd=tmp_path)
        assert "FAIL" not in text
        assert text.count("ok  ") >= 50


@pytest.mark.parametrize("output", ["loss.mse", "norms"])
def test_what_is_not_finite_stops_a_photo_as_in_python(probe: Probe, tmp_path: Path, output: str) -> None:
    bundle = broken(tmp_path, with_root(output, 0.3)).path
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    answers = probe.run(("optimise", bundle, "projection", tmp_path / "black.png", tmp_path / "a.inversion", 20))
    assert answers == [(0, "")]
    expected = load(bundle, backend="onnxruntime", method="projection").invert(tmp_path / "black.png", steps=20)
    found = Inversion.load(tmp_path / "a.inversion")
    assert 0 < found.steps < 20
    assert found.source == expected.source
    check_equal(found, expected)


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
    ],
)
def test_wrong_settings_are_told_as_in_python(
    release: Path, toys: Toys, tmp_path: Path, base: str, options: tuple[str, ...], said: str
) -> None:
    bundle = toys(base, gradients=GRADIENTS)
    command = [release / "invert" / "invert", bundle, PHOTO, "-o", tmp_path, *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


def test_a_bundle_without_gradients_says_how_to_export_them(release: Path, toys: Toys, tmp_path: Path) -> None:
    command = [release / "invert" / "invert", toys("e4e"), PHOTO, "-o", tmp_path, "--method", "pti"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "The bundle has no gradient graphs for pti. Got: graphs for e4e alone." in result.stderr
    assert "Export the checkpoint again with --gradients pti." in result.stderr
