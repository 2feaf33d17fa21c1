"""`align`, `invert --align`, `--paste-back` and `paste` as a user meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import ExifTags, Image

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.alignment import align, crop_of, paste_back
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.tests.unit.runtime.alignment.face_graphs import DOTS, detector_graph, dots, landmark_graph

LARGE, SMALL = DOTS, DOTS * 0.6 + np.array([150, 20])
BACKEND = ("--backend", "onnxruntime")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One face, two, and a photo without any, whose landmarks are an empty list."""
    folder = tmp_path / "photos"
    folder.mkdir()
    dots(LARGE).save(folder / "one.png")
    dots(SMALL, LARGE).save(folder / "two.png")
    dots().save(folder / "none.png")
    faces = {"one.png": LARGE.tolist(), "two.png": [SMALL.tolist(), LARGE.tolist()], "none.png": []}
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    return folder


@pytest.fixture
def landmarks(tmp_path: Path, photos: Path) -> tuple[str, Path]:
    return ("--landmarks", tmp_path / "faces.json")


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_align_writes_faces_and_where_they_were(photos: Path, landmarks: tuple[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "faces"
    result = run("align", photos, "-o", out, *landmarks, "--size", 64, "--json")
    assert result.exit_code == 1  # one has no face
    entries = {Path(entry["photo"]).name: entry for entry in json.loads(result.stdout)["photos"]}
    assert "There is no face in none.png" in entries["none.png"]["error"]
    written = sorted(path.name for path in out.iterdir())
    assert written == ["one.alignment.json", "one.png", "two.alignment.json", "two.png"]
    expected = align(photos / "two.png", LARGE, 64)
    assert (pixels(out / "two.png") == np.asarray(expected.picture)).all()
    (face,) = entries["two.png"]["faces"]
    assert face["quad"] == [list(corner) for corner in expected.crop.quad]
    assert json.loads((out / "two.alignment.json").read_text()) == expected.crop.to_json()


def test_align_numbers_faces_from_the_largest(photos: Path, landmarks: tuple[str, Path], tmp_path: Path) -> None:
    result = run("align", photos / "two.png", "-o", tmp_path / "all", *landmarks, "--size", 64, "--all-faces")
    assert result.exit_code == 0
    assert "two.face2.png" in result.stdout
    second = run("align", photos / "two.png", "-o", tmp_path / "second", *landmarks, "--size", 64, "--face", 2)
    assert second.exit_code == 0
    assert (pixels(tmp_path / "all" / "two.face2.png") == pixels(tmp_path / "second" / "two.png")).all()
    assert (pixels(tmp_path / "all" / "two.face1.png") != pixels(tmp_path / "second" / "two.png")).any()
    third = run("align", photos / "two.png", "-o", tmp_path / "third", *landmarks, "--face", 3)
    assert third.exit_code == 1
    assert "has no face 3" in third.stdout
    assert list((tmp_path / "third").iterdir()) == []


def test_align_with_networks_finds_what_the_landmarks_say(photos: Path, tmp_path: Path) -> None:
    detector = detector_graph(tmp_path / "detector.onnx")
    network = landmark_graph(tmp_path / "mesh.onnx")
    ways = ("--detector", detector, "--landmark-model", network)
    result = run("align", photos / "one.png", "-o", tmp_path / "out", *ways, "--size", 64, "--json")
    assert result.exit_code == 0
    (face,) = json.loads(result.stdout)["photos"][0]["faces"]
    assert np.abs(np.array(face["quad"]) - align(photos / "one.png", LARGE, 64).crop.quad).max() < 1


def test_a_box_in_a_photo_that_exif_turns(tmp_path: Path) -> None:
    upright = dots(LARGE)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    (tmp_path / "photos").mkdir()
    upright.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "photos" / "turned.png", exif=exif)
    upright.save(tmp_path / "photos" / "upright.png")
    result = run("align", tmp_path / "photos", "-o", tmp_path / "out", "--box", "60,60,140,150", "--size", 64)
    assert result.exit_code == 0
    assert (pixels(tmp_path / "out" / "turned.png") == pixels(tmp_path / "out" / "upright.png")).all()


def test_photos_that_exif_turns_are_inverted_and_pasted_back_as_if_they_were_upright(
    toys: Callable[..., Path], tmp_path: Path
) -> None:
    upright = dots(LARGE).crop((20, 0, 200, 180))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    (tmp_path / "photos").mkdir()
    upright.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "photos" / "turned.png", exif=exif)
    upright.save(tmp_path / "photos" / "upright.png")
    command = ("invert", toys(), tmp_path / "photos", "--steps", 1, *BACKEND)
    face = ("--align", "--paste-back", "--box", "40,60,120,150")
    for folder, options in (("whole", ()), ("face", face)):
        assert run(*command, "-o", tmp_path / folder, *options).exit_code == 0
        turned, straight = (Inversion.load(tmp_path / folder / f"{name}.inversion") for name in ("turned", "upright"))
        assert (turned.codes == straight.codes).all()
    assert (pixels(tmp_path / "face" / "turned.pasted.png") == pixels(tmp_path / "face" / "upright.pasted.png")).all()


def test_invert_aligns_keeps_it_and_pastes_back(
    toys: Callable[..., Path], photos: Path, landmarks: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("invert", toys(), photos, "-o", out, "--steps", 1, *BACKEND, "--align", "--paste-back", *landmarks)
    first = run(*command, "--batch", 2, "--json")
    assert first.exit_code == 1
    status = {Path(entry["photo"]).name: entry for entry in json.loads(first.stdout)["photos"]}
    assert {name: entry["status"] for name, entry in status.items()} == {
        "one.png": "done",
        "two.png": "done",
        "none.png": "failed",
    }
    kinds = ("aligned.png", "inversion", "pasted.png", "png", "strip.png")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{n}.{kind}" for n in ("one", "two") for kind in kinds
    )
    expected = align(photos / "two.png", LARGE, 32)
    assert (pixels(out / "two.aligned.png") == np.asarray(expected.picture)).all()
    inversion = Inversion.load(out / "two.inversion")
    assert crop_of(inversion) == expected.crop
    pasted = paste_back(photos / "two.png", out / "two.png", crop_of(inversion))
    assert (pixels(out / "two.pasted.png") == np.asarray(pasted)).all()
    assert (pixels(out / "two.pasted.png") != pixels(photos / "two.png")).any()

    again = json.loads(run(*command, "--json").stdout)
    assert sorted(entry["status"] for entry in again["photos"]) == ["failed", "skipped", "skipped"]
    (out / "one.pasted.png").unlink()
    repaired = json.loads(run(*command, "--json").stdout)
    assert sorted(entry["status"] for entry in repaired["photos"]) == ["done", "failed", "skipped"]
    other = json.loads(run(*command, "--face", 2, "--json").stdout)
    assert {Path(entry["photo"]).name: entry["status"] for entry in other["photos"]} == {
        "one.png": "failed",
        "two.png": "done",
        "none.png": "failed",
    }


def test_an_aligned_photo_gives_what_its_crop_gives(
    toys: Callable[..., Path], photos: Path, landmarks: tuple[str, Path], tmp_path: Path
) -> None:
    rest = ("--steps", 1, *BACKEND, "--no-strip")
    in_one_go = run("invert", toys(), photos / "one.png", "-o", tmp_path / "a", *rest, "--align", *landmarks)
    assert in_one_go.exit_code == 0
    assert f"evaluate {tmp_path / 'a' / 'one.aligned.png'} {tmp_path / 'a' / 'one.png'}" in in_one_go.stdout
    assert run("align", photos / "one.png", "-o", tmp_path / "b", "--size", 32, *landmarks).exit_code == 0
    assert run("invert", toys(), tmp_path / "b" / "one.png", "-o", tmp_path / "c", *rest).exit_code == 0
    assert (pixels(tmp_path / "a" / "one.png") == pixels(tmp_path / "c" / "one.png")).all()


def test_paste_takes_inversions_and_records(
    toys: Callable[..., Path], photos: Path, landmarks: tuple[str, Path], tmp_path: Path
) -> None:
    photo, out = photos / "one.png", tmp_path / "out"
    run("invert", toys(), photo, "-o", out, "--steps", 0, *BACKEND, "--align", "--paste-back", *landmarks)
    run("align", photo, "-o", tmp_path / "faces", "--size", 32, *landmarks)
    for number, record in enumerate([out / "one.inversion", tmp_path / "faces" / "one.alignment.json"]):
        result = run("paste", photo, out / "one.png", record, "-o", tmp_path / f"{number}.png")
        assert result.exit_code == 0
        assert (pixels(tmp_path / f"{number}.png") == pixels(out / "one.pasted.png")).all()
    sharp = run("paste", photo, out / "one.png", record, "-o", tmp_path / "sharp.png", "--feather", 0)
    assert sharp.exit_code == 0
    assert (pixels(tmp_path / "sharp.png") != pixels(out / "one.pasted.png")).any()


def test_what_cannot_be_pasted_is_told_and_nothing_is_written(
    toys: Callable[..., Path], photos: Path, landmarks: tuple[str, Path], tmp_path: Path
) -> None:
    photo, out = photos / "one.png", tmp_path / "out"
    run("invert", toys(), photo, "-o", out, "--steps", 0, *BACKEND)
    run("align", photo, "-o", tmp_path / "faces", "--size", 32, *landmarks)
    record = tmp_path / "faces" / "one.alignment.json"
    dots(size=(200, 260)).save(tmp_path / "other.png")
    target = tmp_path / "pasted.png"
    for arguments, message in (
        ((photo, out / "one.png", out / "one.inversion", "-o", target), "keeps no alignment"),
        ((photo, out / "one.png", photo, "-o", target), "keeps no alignment"),
        ((photo, out / "one.png", tmp_path / "none", "-o", target), "Cannot read"),
        ((tmp_path / "other.png", out / "one.png", record, "-o", target), "another photo"),
        ((photo, photo, record, "-o", target), "no aligned picture"),
        ((photo, out / "one.png", record, "-o", tmp_path / "pasted.jpg"), "Expected: .png"),
        ((photo, out / "one.png", record, "-o", tmp_path / "no" / "pasted.png"), "no such folder"),
    ):
        result = run("paste", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
    assert not list(tmp_path.glob("pasted*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--align",), "not clear where the faces are"),
        (("--align", "--box", "1,2,3"), "not four numbers"),
        (("--align", "--box", "9,9,1,1"), "no box"),
        (("--align", "--landmarks", "none.json"), "Cannot read landmarks"),
        (("--box", "1,2,30,40"), "belong to --align"),
        (("--paste-back",), "belong to --align"),
        (("--align", "--box", "1,2,30,40", "--feather", "0.2"), "belongs to --paste-back"),
    ],
)
def test_invert_says_what_is_wrong_before_it_opens_the_bundle(
    options: tuple[str, ...], message: str, photos: Path, tmp_path: Path
) -> None:
    result = run("invert", tmp_path / "no.bundle", photos, "-o", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_align_says_what_is_wrong(photos: Path, landmarks: tuple[str, Path], tmp_path: Path) -> None:
    for options, message in (
        ((), "not clear where the faces are"),
        ((*landmarks, "--size", 8), "size is out of range"),
        ((*landmarks, "--face", 1, "--all-faces"), "exclude each other"),
    ):
        result = run("align", photos, "-o", tmp_path / "out", *options)
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "out").exists()
    among = run("align", photos, "-o", photos, *landmarks)
    assert among.exit_code == 2
    assert "among the photos" in among.stderr


def test_models_of_drawings_do_not_align(toys: Callable[..., Path], photos: Path, tmp_path: Path) -> None:
    command = ("invert", toys("psp", kind="sketch"), photos / "one.png", "-o", tmp_path / "out", *BACKEND, "--align")
    result = run(*command, "--box", "60,60,140,150")
    assert result.exit_code == 2
    assert "does not invert aligned faces" in result.stderr
    assert not (tmp_path / "out").exists()
