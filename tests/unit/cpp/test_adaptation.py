"""Further generators in C++: they draw what Python draws, bit for bit, and the same is refused."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.unit.cpp.conftest import PHOTO, Probe, run
from hyperstyle_deploy.tests.unit.cpp.test_edits import strengths
from hyperstyle_deploy.tests.unit.cpp.test_readers import BUNDLE_ERROR, INVERSION_ERROR
from hyperstyle_deploy.tests.unit.cpp.test_runtime import check_equal
from hyperstyle_deploy.tests.unit.runtime.test_adaptation import ONCE, PIXAR, PLAIN, TOONIFY
from hyperstyle_deploy.tests.unit.test_golden import LIMIT, largest
from hyperstyle_deploy.tests.unit.test_golden_adaptation import DATA, RUNS, TAG, export_adapted

Toys = Callable[..., Path]
ARRAY_ERROR = 3
#: Method, its further generators, and the one that draws: of an encoder that loops, of one that takes one pass, of the
#: method's own codes, with offsets and without.
FORMS: dict[str, tuple[str, tuple[FineTunedSpec, ...], str]] = {
    "restyle's codes": ("hyperstyle", (TOONIFY, PIXAR), "toonify"),
    "the second of two": ("hyperstyle", (TOONIFY, PIXAR), "pixar"),
    "codes of one pass": ("hyperstyle", (ONCE,), "once"),
    "its own codes": ("hyperstyle", (FineTunedSpec("own", (0, 2, 7), None),), "own"),
    "e4e": ("e4e", (PLAIN,), "plain"),
    "restyle": ("restyle-psp", (PLAIN,), "plain"),
}


def opened(bundle: Path, generator: str | None) -> Session:
    return load(bundle, backend="onnxruntime", threads=1, generator=generator)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_example_draws_what_python_draws(
    release: Path, toys: Toys, pictures: list[Path], tmp_path: Path, form: tuple[str, tuple[FineTunedSpec, ...], str]
) -> None:
    method, generators, generator = form
    bundle = toys(method, generators=generators)
    session = opened(bundle, generator)
    for steps in {0, 3 if session.manifest.default_steps else 0}:
        command = [release / "invert" / "invert", bundle, *pictures, "-o", tmp_path, "--threads", 1]
        text = run(*command, "--steps", steps, "--generator", generator)
        assert text.startswith(f"{method}+{generator} on onnxruntime")
        for photo in pictures:
            expected = session.invert(photo, steps=steps)
            check_equal(Inversion.load(tmp_path / f"{photo.stem}.inversion"), expected)
            drawn = np.asarray(Image.open(tmp_path / f"{photo.stem}.png"))
            np.testing.assert_array_equal(drawn, expected.image)
            own = opened(bundle, None).invert(photo, steps=steps)
            assert (drawn != own.image).any()


def test_photos_stop_early_as_in_python(release: Path, toys: Toys, pictures: list[Path], tmp_path: Path) -> None:
    bundle = toys("hyperstyle", generators=(TOONIFY, PIXAR))
    command = [release / "invert" / "invert", bundle, *pictures, "-o", tmp_path, "--threads", 1, "--steps", 6]
    run(*command, "--until-gain", 0.5, "--generator", "toonify")
    for photo in pictures:
        expected = opened(bundle, "toonify").invert(photo, steps=6, until_gain=0.5)
        check_equal(Inversion.load(tmp_path / f"{photo.stem}.inversion"), expected)
        assert expected.steps < 6


def test_edits_are_drawn_by_it(probe: Probe, toys: Toys, tmp_path: Path) -> None:
    """Through C++ and C."""
    bundle = shutil.copytree(toys("hyperstyle", generators=(TOONIFY, PIXAR)), tmp_path / "bundle")
    session = opened(bundle, "toonify")
    vector = np.random.default_rng(2).standard_normal((1, WIDTH), np.float32)
    session.directions.add([Direction("smile", vector, (0, STYLES), (-5, 5), session.manifest.model)])
    person = session.invert(PHOTO, steps=2)
    person.save(tmp_path / "toon")
    edits = ("", "smile=1.5", "smile=-2")
    assert probe.run(("edit", bundle, "toonify", tmp_path / "toon", tmp_path / "out", *edits)) == [(0, "")]
    pixels = np.frombuffer((tmp_path / "out").read_bytes(), np.uint8, offset=3 * STYLES * WIDTH * 4)
    expected = session.edit(person, [strengths(edit) for edit in edits])
    np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)


def test_what_there_is_not_is_refused_in_pythons_words(probe: Probe, toys: Toys, tmp_path: Path) -> None:
    bundle = toys("hyperstyle", generators=(TOONIFY, PIXAR))
    opened(bundle, "toonify").invert(PHOTO, steps=1).save(tmp_path / "toon")
    opened(bundle, None).invert(PHOTO, steps=1).save(tmp_path / "own")
    tuning = toys("hyperstyle", gradients=("pti",))
    answers = probe.run(
        ("session", bundle, "onnxruntime", "", "anime"),
        ("session", toys("hyperstyle"), "onnxruntime", "", "toonify"),
        ("session", tuning, "onnxruntime", "pti", "toonify"),
        ("edit", bundle, "", tmp_path / "toon", tmp_path / "out", "smile=1"),
        ("edit", bundle, "toonify", tmp_path / "own", tmp_path / "out", "smile=1"),
        ("edit", bundle, "pixar", tmp_path / "toon", tmp_path / "out", "smile=1"),
    )
    assert [code for code, _ in answers] == [BUNDLE_ERROR, BUNDLE_ERROR, ARRAY_ERROR, *[INVERSION_ERROR] * 3]
    said = (
        "has no generator anime. Got: toonify, pixar. Export the checkpoint again with --generator anime=FILE.",
        "The bundle has no generator toonify. Got: none but its own.",
        "with the generator toonify. Leave one of them out.",
        "Got: hyperstyle+toonify. Expected: hyperstyle. Use the bundle that it was made with, loaded with the gen",
        "Got: hyperstyle. Expected: hyperstyle+toonify. Use the bundle that it was made with, loaded with the method",
        "Got: hyperstyle+toonify. Expected: hyperstyle+pixar.",
    )
    for (_, text), words in zip(answers, said, strict=True):
        assert words in text
    assert not (tmp_path / "out").exists()


def test_the_examples_option_is_checked(release: Path, toys: Toys, tmp_path: Path) -> None:
    command = [release / "invert" / "invert", toys("hyperstyle"), PHOTO, "-o", tmp_path / "out"]
    result = subprocess.run(
        [*command, "--generator", "toonify"], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 2
    assert "The bundle has no generator toonify. Got: none but its own." in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_the_golden_domain_adaptation(release: Path, tmp_path: Path) -> None:
    """The authors' run at 256, in C++ alone within 5e-5 and a grey level; and bit for bit as in Python."""
    bundle, (encoder_steps, steps), golden = export_adapted(tmp_path), RUNS[-1], np.load(DATA / f"{TAG}.npz")
    (spec,) = read_manifest(bundle).generators
    assert spec.encoder_steps == encoder_steps
    photo = DATA / f"{TAG}.png"
    command = [release / "invert" / "invert", bundle, photo, "-o", tmp_path, "--threads", 2]
    run(*command, "--steps", steps, "--generator", "toonify")
    found, drawn = Inversion.load(tmp_path / f"{TAG}.inversion"), np.asarray(Image.open(tmp_path / f"{TAG}.png"))
    assert largest(found.codes, golden[f"codes{encoder_steps - 1}"]) <= LIMIT
    crop = (np.clip((golden[f"image{len(RUNS) - 1}_crop64"] + 1) / 2, 0, 1) * 255).astype(np.float32)
    top = (drawn.shape[0] - 64) // 2
    # Pixels are truncated to whole levels.
    assert largest(drawn[top : top + 64, top : top + 64].transpose(2, 0, 1).astype(np.float32), np.floor(crop)) <= 1
    expected = load(bundle, backend="onnxruntime", threads=2, generator="toonify").invert(photo, steps=steps)
    check_equal(found, expected)
    np.testing.assert_array_equal(drawn, expected.image)
    shutil.rmtree(tmp_path)
