"""The C++ runtime gives the Python runtime's results bit for bit, installed as users install it."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from hyperstyle_deploy import __version__
from hyperstyle_deploy.demo import BUNDLE
from hyperstyle_deploy.runtime.alignment import align, crop_of, paste_back
from hyperstyle_deploy.runtime.alignment.given import GivenBox
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.editing.trajectory import Trajectory
from hyperstyle_deploy.runtime.quality.tolerance import TOLERANCE
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.held_out import check_refinement, write_faces
from hyperstyle_deploy.tests.small_bundle import make_small_bundle
from hyperstyle_deploy.tests.toy_bundle import ToyBundle
from hyperstyle_deploy.tests.unit.cpp.conftest import ALL_FORMS, PHOTO, ROOT, Probe, build, missing, run
from hyperstyle_deploy.tests.unit.test_golden import FACES256, OTHERS, PSP256, Golden, largest

CONSUMER = ROOT / "examples" / "cpp" / "consumer"
EXAMPLE = ROOT / "examples" / "cpp" / "invert"
MAX_LIBRARY_BYTES = 1 << 20


@pytest.fixture(scope="module")
def installed(release: Path, prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `cmake --install` leaves it, away from its build folder."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", release, "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def consumer(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The consumer, which sees the installed package alone."""
    return build(CONSUMER, tmp_path_factory.mktemp("consumer"), [installed])


def check_equal(found: Inversion, expected: Inversion) -> None:
    """Bit for bit."""
    assert set(found.arrays) == set(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True, err_msg=name)
    assert (found.l2, found.steps) == (expected.l2, expected.steps)
    assert (found.method, found.model) == (expected.method, expected.model)


@pytest.mark.parametrize("form", ALL_FORMS)
def test_the_example_gives_what_python_gives(
    release: Path, toys: Callable[..., Path], pictures: list[Path], tmp_path: Path, form: str
) -> None:
    method, options = ALL_FORMS[form]
    bundle = toys(method, **options)
    session = load(bundle, backend="onnxruntime", threads=1)
    steps = 3 if session.manifest.default_steps else 0
    text = run(release / "invert" / "invert", bundle, *pictures, "-o", tmp_path, "--steps", steps, "--threads", 1)
    comparable = session.manifest.image.comparable
    loss = r"(  [a-z]+ -?\d+\.\d{6})*"  # of a method that descends; toys have negative ones
    line = r"step \d" + (r"  loop L2 \d+\.\d{6}" if comparable else "") + loss + r"  \d+\.\d\d s"
    assert len(re.findall(line, text)) == 2 * (steps + 1)
    for photo in pictures:
        expected = session.invert(photo, steps=steps)
        check_equal(Inversion.load(tmp_path / f"{photo.stem}.inversion"), expected)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{photo.stem}.png")), expected.image)
        assert Image.open(tmp_path / f"{photo.stem}.strip.png").size == ((steps + 2) * 32, 32)


def test_refinement_of_the_trained_model_brings_faces_closer(release: Path, tmp_path: Path) -> None:
    faces = write_faces(tmp_path)
    run(release / "invert" / "invert", BUNDLE, *faces, "-o", tmp_path / "out", "--steps", 5)
    check_refinement([Inversion.load(tmp_path / "out" / f"{face.stem}.inversion") for face in faces])


def test_photos_stop_early_as_in_python(
    release: Path, toys: Callable[..., Path], pictures: list[Path], tmp_path: Path
) -> None:
    session = load(toys(), backend="onnxruntime", threads=1)
    stops = set()
    for gain in (None, 0, 0.5):
        stopping = () if gain is None else ("--until-gain", gain)
        arguments = (toys(), *pictures, "-o", tmp_path, "--steps", 6, "--threads", 1, *stopping)
        run(release / "invert" / "invert", *arguments)
        for photo in pictures:
            expected = session.invert(photo, steps=6, until_gain=gain)
            check_equal(Inversion.load(tmp_path / f"{photo.stem}.inversion"), expected)
            stops.add(expected.steps)
    assert len(stops) > 1


def test_the_example_matches_the_authors_code(release: Path, faces256_bundle: Path, tmp_path: Path) -> None:
    golden = np.load(ROOT / "tests" / "data" / "faces256.npz")
    run(release / "invert" / "invert", faces256_bundle, PHOTO, "-o", tmp_path, "--steps", FACES256.steps)
    inversion = Inversion.load(tmp_path / "faces.inversion")
    limit = TOLERANCE["float32"]
    assert largest(inversion.codes, golden["codes"]) <= limit
    last = FACES256.steps - 1
    offsets = load(faces256_bundle, backend="onnxruntime", threads=2).weight_offsets(inversion)
    for layer, offset in offsets.items():
        stats = np.array([offset.mean(), offset.std(), np.abs(offset).max()])
        assert largest(stats, golden[f"delta{last}_{layer}_stats"]) <= limit
    pixels = np.asarray(Image.open(tmp_path / "faces.png"), np.float32).transpose(2, 0, 1)
    expected = (np.clip((golden[f"image{last}_crop64"] + 1) / 2, 0, 1) * 255).astype(np.float32)
    top = (pixels.shape[1] - 64) // 2
    # Pixels are truncated to whole levels.
    assert largest(pixels[:, top : top + 64, top : top + 64], np.floor(expected)) <= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("golden", [*OTHERS, PSP256], ids=lambda golden: golden.tag)
def test_the_golden_models_give_what_python_gives(release: Path, golden: Golden, tmp_path: Path) -> None:
    """Which is within 5e-5 of the authors' numbers: test_golden.py."""
    bundle = golden.export(tmp_path)
    run(release / "invert" / "invert", bundle, golden.photo, "-o", tmp_path, "--steps", golden.steps, "--threads", 2)
    expected = load(bundle, backend="onnxruntime", threads=2).invert(golden.photo, steps=golden.steps)
    check_equal(Inversion.load(tmp_path / f"{golden.photo.stem}.inversion"), expected)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{golden.photo.stem}.png")), expected.image)
    shutil.rmtree(tmp_path)


def test_a_bad_photo_among_others_is_status_1(release: Path, toys: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    command = [
        release / "invert" / "invert",
        toys(),
        tmp_path / "bad.png",
        PHOTO,
        "-o",
        tmp_path / "out",
        "--steps",
        "1",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "bad.png" in result.stderr
    assert (tmp_path / "out" / "faces.inversion").exists()


def test_help_is_no_error(release: Path) -> None:
    text = run(release / "invert" / "invert", "--help")
    assert text.startswith("usage: invert BUNDLE PHOTO")
    assert "Exit status: 0" in text


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_ends_the_example_and_leaves_nothing_half_written(
    release: Path, toys: Callable[..., Path], tmp_path: Path, number: int
) -> None:
    photos = [PHOTO] * 50  # many, since a photo takes a moment only
    command = [release / "invert" / "invert", toys(), *photos, "-o", tmp_path / "out", "--steps", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "step 1" in line:
                process.send_signal(number)
                break
        _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error == "The work was cancelled.\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"faces.png", "faces.strip.png", "faces.inversion"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: invert BUNDLE PHOTO"),
        (("{bundle}",), "usage: invert BUNDLE PHOTO"),
        (("/nowhere", "{photo}"), "/nowhere is not a bundle. Got: nothing there. Expected: a folder."),
        (("{bundle}", "/nowhere.png"), "There is no /nowhere.png. Expected: photos."),
        (("{bundle}", "{photo}", "--steps", "1001"), "steps is out of range. Got: 1001. Expected: 0 to 1000."),
        (("{bundle}", "{photo}", "--steps", "x"), "--steps takes a number, not x"),
        (("{bundle}", "{photo}", "--steps", "1.5"), "--steps takes a whole number, not 1.5"),
        (("{bundle}", "{photo}", "--until-gain", "1"), "until_gain is out of range. Got: 1."),
        (("{bundle}", "{photo}", "--quick"), "no such option: --quick"),
        (("{bundle}", "{photo}", "--device", "1"), "onnxruntime runs on the CPU. Got: an option for GPUs."),
        (("{bundle}", "{photo}", "--backend", "tensorflow"), "Unknown backend. Got: tensorflow."),
        (("{bundle}", "{photo}", "--backend", "tensorrt"), "The backend tensorrt was not built into this library."),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    release: Path, toys: Callable[..., Path], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    filled = [argument.format(bundle=toys(), photo=PHOTO) for argument in arguments]
    result = subprocess.run(
        [release / "invert" / "invert", *filled], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("form", ALL_FORMS)
def test_sessions_from_inside_a_program(programs: Path, toys: Callable[..., Path], tmp_path: Path, form: str) -> None:
    method, options = ALL_FORMS[form]
    text = run(programs / "session_checks", toys(method, **options), PHOTO, cwd=tmp_path)
    assert "FAIL" not in text
    assert text.count("ok  ") >= 50


def test_the_cpu_backend_refuses_bfloat16_in_pythons_words(probe: Probe, tmp_path: Path) -> None:
    bundle = make_small_bundle(tmp_path / "small", "psp")
    document = bundle.document()
    document["precision"] = "bfloat16"
    for graph in document["graphs"].values():
        for tensor in graph["inputs"]:
            if tensor["name"].startswith("noise."):
                tensor["dtype"] = "bfloat16"
    bundle.write(document)
    ((code, text),) = probe.run(("session", bundle.path, "onnxruntime"))
    assert code == 5
    assert text.startswith(
        f"The backend onnxruntime cannot run a bfloat16 bundle. Got: {bundle.path}. Expected: a bundle"
    )


def test_a_graph_that_gives_other_shapes_than_its_manifest_is_an_error(
    probe: Probe, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    """What computes addresses memory by the manifest's sizes."""
    graph = toy_bundle.graph("encoder")
    (shape,) = (tensor for tensor in graph.graph.initializer if tensor.name == "shape")
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([-1, 4, 16], np.int64), "shape"))
    del graph.graph.output[0].type.tensor_type.shape.dim[:]
    del graph.graph.value_info[:]
    toy_bundle.replace("encoder.onnx", graph.SerializeToString())
    ((code, text),) = probe.run(("invert", toy_bundle.path, PHOTO))
    assert code == 5
    assert "encoder gives codes in another type or shape than the manifest says. Got: [1, 4, 16]" in text


def test_the_consumer_uses_the_installed_package_alone(consumer: Path, toy_bundle: ToyBundle, tmp_path: Path) -> None:
    manifest = read_manifest(toy_bundle.path)
    vector = np.ones((1, manifest.generator.width), np.float32)
    direction = Direction("smile", vector, (0, manifest.generator.styles), (-5, 5), manifest.model)
    Directions(toy_bundle.path, manifest).add([direction])
    session = load(toy_bundle.path, backend="onnxruntime", threads=1)
    for program in ("smile", "invert_c"):
        run(consumer / program, toy_bundle.path, PHOTO, tmp_path / f"{program}.png")
    expected = Inversion.load(tmp_path / "smile.png.inversion")
    assert expected.steps == session.manifest.default_steps
    drawn = session.edit(expected, {"smile": 2.5})[0]
    assert np.abs(np.asarray(Image.open(tmp_path / "smile.png")).astype(int) - drawn).max() <= 1
    own = session.synthesize(expected)[0]
    assert np.abs(np.asarray(Image.open(tmp_path / "invert_c.png")).astype(int) - own).max() <= 1


def test_the_example_of_edits_draws_what_python_draws(consumer: Path, toy_bundle: ToyBundle, tmp_path: Path) -> None:
    session, draw = load(toy_bundle.path, backend="onnxruntime"), np.random.default_rng(4)
    generator = session.manifest.generator
    for name in ("smile", "age"):
        vector = draw.standard_normal((1, generator.width), np.float32)
        session.directions.add([Direction(name, vector, (0, generator.styles), (-5, 5), session.manifest.model)])
    people = [session.invert(np.full((40, 40, 3), colour, np.uint8), steps=2) for colour in (40, 200)]
    for person, name in zip(people, ("me", "you"), strict=True):
        person.save(tmp_path / f"{name}.inversion")
    run(consumer / "edits", toy_bundle.path, tmp_path / "me.inversion", tmp_path / "you.inversion", tmp_path / "out")
    me, you = people
    edits = [*({"smile": strength, "age": 2.0} for strength in (-3.0, 0.0, 3.0)), {Mix(you, (0, 4)): 1.0}]
    _, middle, _ = session.frames(Trajectory([me, you], easing="linear"), 3)
    expected = [*session.edit(me, edits), middle]
    pictures = [np.asarray(Image.open(tmp_path / f"out{at}.png")).astype(int) for at in range(5)]
    assert np.abs(np.stack(pictures) - np.stack(expected)).max() <= 1
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_a_c_program_takes_a_face_out_of_a_photo_and_puts_it_back(
    consumer: Path, toy_bundle: ToyBundle, tmp_path: Path
) -> None:
    box, out = (70.0, 60.0, 190.0, 200.0), tmp_path / "out.png"
    run(consumer / "face_c", toy_bundle.path, PHOTO, *box, out)
    (landmarks,) = GivenBox(box).find(Image.open(PHOTO), PHOTO.name)
    aligned, session = align(PHOTO, landmarks, 32), load(toy_bundle.path, backend="onnxruntime", threads=1)
    found = Inversion.load(tmp_path / "out.png.inversion")
    np.testing.assert_allclose(found.codes, session.invert(aligned.picture).codes, atol=1e-2)  # a grey level apart
    np.testing.assert_allclose(crop_of(found).quad, aligned.crop.quad, rtol=0, atol=1e-9)
    pasted = np.asarray(Image.open(out)).astype(int)
    expected = np.asarray(paste_back(PHOTO, session.synthesize(found)[0], aligned.crop)).astype(int)
    assert np.abs(pasted - expected).max() <= 1
    assert np.abs(pasted - np.asarray(Image.open(PHOTO).convert("RGB"))).max() > 20
    command = [consumer / "face_c", toy_bundle.path, PHOTO, "70", "60", "50", "200", tmp_path / "none.png"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, refused.stderr[:15]) == (2, "That is no box.")
    assert not list(tmp_path.glob("none*"))


@pytest.mark.exhaustive
def test_the_example_builds_from_the_installed_package(installed: Path, tmp_path: Path) -> None:
    assert run(build(EXAMPLE, tmp_path / "build", [installed]) / "invert", "--help").startswith("usage: invert")


def test_pkg_config_knows_the_library(installed: Path, tmp_path: Path) -> None:
    if shutil.which("pkg-config") is None or shutil.which("cc") is None:
        missing("there is no pkg-config or no cc")
    folder = next(installed.glob("lib*/**/pkgconfig"))
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "hyperstyle_deploy"],
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    for program in ("invert.c", "face.c"):
        run("cc", *strict, CONSUMER / program, "-o", tmp_path / "x", *flags)


def test_the_library_is_small_shows_its_interface_alone_and_has_the_projects_version(
    release: Path, tmp_path: Path
) -> None:
    (library,) = (path for path in (release / "runtime").glob("libhyperstyle_deploy.so.*") if not path.is_symlink())
    assert library.name.endswith(f".so.{__version__}")
    run("strip", "-o", tmp_path / "stripped", library)
    assert (tmp_path / "stripped").stat().st_size < MAX_LIBRARY_BYTES
    symbols = run("nm", "-D", "--defined-only", "-C", library).splitlines()
    names = [line.split(" ", 2)[2] for line in symbols]
    foreign = [
        name
        for name in names
        if not name.startswith(("hyperstyle_", "hyperstyle::"))
        and not re.match(r"(typeinfo|typeinfo name|vtable) for hyperstyle::\w+$", name)
    ]
    inner = [
        name for name in names if re.search(r"hyperstyle::(Backend|HostBackend|Message|Json|Array|Method|Loop)\b", name)
    ]
    assert (foreign, inner) == ([], [])


@pytest.mark.parametrize(("page", "program"), [("cpp.md", "smile.cpp"), ("editing.md", "edits.cpp")])
def test_the_example_in_the_docs_is_the_consumers(page: str, program: str) -> None:
    (example,) = re.findall(r"```cpp\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert example == (CONSUMER / program).read_text()
