"""Commands on inversions that something else draws: a further generator, or a generator that was tuned."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.runtime.editing.conftest import smile
from hyperstyle_deploy.tests.unit.runtime.editing.test_importing import run

TOONIFY = FineTunedSpec("toonify", (5, 7), 2)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "faces.bundle"
    write_toy_bundle(path, gradients=("pti",), generators=(TOONIFY,))
    Directions(path, read_manifest(path)).add([smile("0" * 64)])
    for name, colour in (("me", (250, 10, 90)), ("you", (20, 90, 200))):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{name}.png")
    return path


def inverted(bundle: Path, *options: str) -> list[Path]:
    """Both photos' inversions, by the command."""
    photos, folder = [str(bundle.parent / f"{name}.png") for name in ("me", "you")], bundle.parent / "results"
    result = run("invert", str(bundle), *photos, "-o", str(folder), "--steps", "2", *options)
    assert result.exit_code == 0, result.output
    return [folder / f"{name}.inversion" for name in ("me", "you")]


def check(bundle: Path, options: Sequence[str], **loading: str) -> None:
    """Inversions, edits and films of the command line are those of Python."""
    me, you = inverted(bundle, *options)
    session, folder = load(bundle, backend="onnxruntime", **loading), bundle.parent
    person = Inversion.load(me)
    assert person.method == session.method
    arguments = ["--backend", "onnxruntime", *options]
    edits = ["--direction", "smile=-3:3:3", "-o", str(folder / "edits"), *arguments, "--json"]
    result = run("edit", str(bundle), str(me), *edits)
    assert result.exit_code == 0, result.output
    pictures = json.loads(result.stdout)["inversions"][0]["pictures"]
    expected = session.edit(person, [{"smile": strength} for strength in (-3, 0, 3)])
    for picture, drawn in zip(pictures, expected, strict=True):
        assert np.abs(np.asarray(Image.open(picture["file"])).astype(int) - drawn).max() <= 1
    film = ["-o", str(folder / "film"), "--seconds", "1", "--rate", "3", *arguments]
    result = run("animate", str(bundle), str(me), str(you), *film)
    assert result.exit_code == 0, result.output
    frames = [np.asarray(Image.open(file)).astype(int) for file in sorted((folder / "film").iterdir())]
    for frame, inversion in ((frames[0], me), (frames[-1], you)):
        assert np.abs(frame - session.synthesize(Inversion.load(inversion))[0]).max() <= 1
    assert np.abs(frames[1] - frames[0]).max() > 1


def test_a_further_generators(bundle: Path) -> None:
    check(bundle, ["--generator", "toonify"], generator="toonify")


def test_a_tuned_generators(bundle: Path) -> None:
    check(bundle, ["--method", "pti"], method="pti")


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--generator", "toonify"], "the generator toonify"), (["--method", "pti"], "the method pti")],
)
def test_without_it_the_error_says_what_to_give(bundle: Path, options: list[str], told: str) -> None:
    me, you = inverted(bundle, *options)
    for command in (
        ["edit", str(bundle), str(me), "--direction", "smile=1", "-o", str(bundle.parent / "edits")],
        ["animate", str(bundle), str(me), str(you), "-o", str(bundle.parent / "film")],
        ["personalize", str(bundle), str(me), "-o", str(bundle.parent / "me.onnx")],
    ):
        result = run(*command)
        assert result.exit_code == 2
        assert f"loaded with {told}" in " ".join(result.output.split())
    assert not any((bundle.parent / name).exists() for name in ("edits", "film", "me.onnx"))


@pytest.mark.parametrize("options", [["--generator", "toonify"], ["--method", "pti"]])
def test_either_is_taken_along(bundle: Path, options: list[str]) -> None:
    """`personalize` itself holds what it writes against the session."""
    me, _ = inverted(bundle, *options)
    file = bundle.parent / "me.onnx"
    result = run("personalize", str(bundle), str(me), "-o", str(file), "--backend", "onnxruntime", "--json", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["difference"] <= 5e-5
    assert file.stat().st_size > 1000
