"""The C++ runtime gives the Python runtime's results bit for bit, installed as users install it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy import __version__
from hyperstyle_deploy.export.exporter import export
from hyperstyle_deploy.export.seeded import write_checkpoints
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.quality.tolerance import TOLERANCE
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.cpp.conftest import ROOT, Probe, build, missing, run
from hyperstyle_deploy.tests.unit.test_golden import CARS512, FACES256, FACES1024, SEPARABLE256, Golden, largest

CONSUMER = ROOT / "examples" / "cpp" / "consumer"
DOCS = ROOT / "docs" / "cpp.md"
PHOTO = ROOT / "tests" / "data" / "faces.png"
MAX_LIBRARY_BYTES = 1 << 20


@pytest.fixture(scope="module")
def session(faces256_bundle: Path) -> Session:
    return load(faces256_bundle, backend="onnxruntime", threads=2)


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
    np.testing.assert_array_equal(found.codes, expected.codes, strict=True)
    np.testing.assert_array_equal(found.offset_codes, expected.offset_codes, strict=True)
    assert (found.l2, found.steps, found.model) == (expected.l2, expected.steps, expected.model)


def test_the_example_gives_what_python_gives(
    release: Path, session: Session, faces256_bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.jpg"
    Image.open(PHOTO).convert("RGB").resize((301, 257)).save(other, quality=95)
    arguments = (faces256_bundle, PHOTO, other, "-o", tmp_path / "out", "--steps", 2, "--threads", 2)
    text = run(release / "invert" / "invert", *arguments)
    assert len(re.findall(r"step \d  L2 \d+\.\d{6}  \d+\.\d\d s", text)) == 6
    for photo in (PHOTO, other):
        expected = session.invert(photo, steps=2)
        base = tmp_path / "out" / photo.stem
        check_equal(Inversion.load(f"{base}.inversion"), expected)
        np.testing.assert_array_equal(np.asarray(Image.open(f"{base}.png")), expected.image)
        assert Image.open(f"{base}.strip.png").size == (4 * 256, 256)


def test_the_example_matches_the_authors_code(
    release: Path, session: Session, faces256_bundle: Path, tmp_path: Path
) -> None:
    golden = np.load(ROOT / "tests" / "data" / "faces256.npz")
    run(release / "invert" / "invert", faces256_bundle, PHOTO, "-o", tmp_path, "--steps", FACES256.steps)
    inversion = Inversion.load(tmp_path / "faces.inversion")
    limit = TOLERANCE["float32"]
    assert largest(inversion.codes, golden["codes"]) <= limit
    last = FACES256.steps - 1
    offsets = session.weight_offsets(inversion)
    for layer, offset in offsets.items():
        stats = np.array([offset.mean(), offset.std(), np.abs(offset).max()])
        assert largest(stats, golden[f"delta{last}_{layer}_stats"]) <= limit
    pixels = np.asarray(Image.open(tmp_path / "faces.png"), np.float32).transpose(2, 0, 1)
    expected = (np.clip((golden[f"image{last}_crop64"] + 1) / 2, 0, 1) * 255).astype(np.float32)
    top = (pixels.shape[1] - 64) // 2
    # Pixels are truncated to whole levels.
    assert largest(pixels[:, top : top + 64, top : top + 64], np.floor(expected)) <= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("golden", [CARS512, SEPARABLE256, FACES1024], ids=lambda golden: golden.tag)
def test_the_other_golden_models_give_what_python_gives(release: Path, golden: Golden, tmp_path: Path) -> None:
    """Which is within 5e-5 of the authors' numbers: test_golden.py."""
    bundle = tmp_path / "bundle"
    export(*write_checkpoints(tmp_path, golden.size, golden.dataset_type, golden.separable), bundle)
    run(release / "invert" / "invert", bundle, golden.photo, "-o", tmp_path, "--steps", golden.steps, "--threads", 2)
    expected = load(bundle, backend="onnxruntime", threads=2).invert(golden.photo, steps=golden.steps)
    check_equal(Inversion.load(tmp_path / f"{golden.photo.stem}.inversion"), expected)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{golden.photo.stem}.png")), expected.image)
    shutil.rmtree(tmp_path)


def test_ctrl_c_ends_the_example_and_leaves_nothing_half_written(
    release: Path, faces256_bundle: Path, tmp_path: Path
) -> None:
    command = [release / "invert" / "invert", faces256_bundle, PHOTO, "-o", tmp_path / "out", "--steps", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "step 1" in line:
                process.send_signal(2)
                break
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "The work was cancelled.\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: invert BUNDLE PHOTO"),
        (("{bundle}",), "usage: invert BUNDLE PHOTO"),
        (("/nowhere", "{photo}"), "/nowhere is not a bundle. Got: nothing there. Expected: a folder."),
        (("{bundle}", "/nowhere.png"), "Cannot read /nowhere.png. Got: No such file or directory."),
        (("{bundle}", "{photo}", "--steps", "101"), "steps is out of range. Got: 101. Expected: 0 to 100."),
        (("{bundle}", "{photo}", "--steps", "x"), "--steps takes a number, not x"),
        (("{bundle}", "{photo}", "--quick"), "no such option: --quick"),
        (("{bundle}", "{photo}", "--device", "1"), "onnxruntime runs on the CPU. Got: an option for GPUs."),
        (("{bundle}", "{photo}", "--backend", "tensorflow"), "Unknown backend. Got: tensorflow."),
        (("{bundle}", "{photo}", "--backend", "tensorrt"), "The backend tensorrt was not built into this library."),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    release: Path, faces256_bundle: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    filled = [argument.format(bundle=faces256_bundle, photo=PHOTO) for argument in arguments]
    result = subprocess.run(
        [release / "invert" / "invert", *filled], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


def test_sessions_from_inside_a_sanitized_program(sanitized: Path, faces256_bundle: Path, tmp_path: Path) -> None:
    text = run(sanitized / "session_checks", faces256_bundle, PHOTO, cwd=tmp_path)
    assert "FAIL" not in text
    assert text.count("ok  ") >= 30


def test_the_cpu_backend_refuses_bfloat16_in_pythons_words(probe: Probe, small: Path) -> None:
    ((code, text),) = probe.run(("session", small, "onnxruntime"))
    assert code == 5
    assert text.startswith(f"The backend onnxruntime cannot run a bfloat16 bundle. Got: {small}. Expected: a bundle in")


@pytest.mark.parametrize(
    ("stage", "kind", "row", "change", "said"),
    [
        ("synthesis_one", "outputs", 0, {"shape": [1, 3, 512, 512]}, "image is wrong. Got: float32 [1, 3, 512, 512]."),
        ("synthesis", "outputs", 0, {"shape": [256]}, "image is wrong. Got: float32 [256]."),
        ("synthesis_one", "outputs", 1, {"shape": [1, 3, 1, 1]}, "reconstruction is wrong"),
        ("encoder", "outputs", 0, {"name": "styles"}, "encoder.onnx is wrong. Got: no codes."),
        ("encoder", "outputs", 0, {"shape": ["batch", "rows", 512]}, "codes is wrong"),
        ("hypernet", "outputs", 0, {"dtype": "int64"}, "offset_codes is wrong. Got: int64"),
        ("weights", "inputs", 1, {"shape": [1]}, "steps is wrong"),
        ("offsets", "outputs", 2, {"shape": [512, 512]}, "offset.convs.1 is wrong"),
    ],
)
def test_graphs_that_do_not_go_with_their_manifest_are_refused(
    probe: Probe, tmp_path: Path, stage: str, kind: str, row: int, change: dict[str, object], said: str
) -> None:
    """The loop and the kernels address memory by the manifest's sizes."""
    from hyperstyle_deploy.tests.small_bundle import make_small_bundle

    bundle = make_small_bundle(tmp_path / "small")
    document = bundle.document()
    document["graphs"][stage][kind][row] |= change
    bundle.write(document)
    ((code, text),) = probe.run(("session", bundle.path, "onnxruntime"))
    assert code == 1
    assert said in text


@pytest.fixture
def small(tmp_path: Path) -> Path:
    from hyperstyle_deploy.tests.small_bundle import make_small_bundle

    bundle = make_small_bundle(tmp_path / "small")
    return bundle.write({**bundle.document(), "precision": "bfloat16"})


def test_the_consumer_uses_the_installed_package_alone(
    consumer: Path, session: Session, faces256_bundle: Path, tmp_path: Path
) -> None:
    for program in ("smile", "invert_c"):
        run(consumer / program, faces256_bundle, PHOTO, tmp_path / f"{program}.png")
    expected = Inversion.load(tmp_path / "smile.png.inversion")
    assert expected.steps == session.manifest.default_steps
    drawn = session.synthesize(expected, expected.codes + np.float32(0.1))[0]
    assert np.abs(np.asarray(Image.open(tmp_path / "smile.png")).astype(int) - drawn).max() <= 1
    own = session.synthesize(expected)[0]
    assert np.abs(np.asarray(Image.open(tmp_path / "invert_c.png")).astype(int) - own).max() <= 1


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
    run("cc", *strict, CONSUMER / "invert.c", "-o", tmp_path / "x", *flags)


def test_the_library_is_small_shows_its_interface_alone_and_has_the_projects_version(release: Path) -> None:
    (library,) = (path for path in (release / "runtime").glob("libhyperstyle_deploy.so.*") if not path.is_symlink())
    assert library.name.endswith(f".so.{__version__}")
    assert library.stat().st_size < MAX_LIBRARY_BYTES
    symbols = run("nm", "-D", "--defined-only", "-C", library).splitlines()
    names = [line.split(" ", 2)[2] for line in symbols]
    foreign = [
        name
        for name in names
        if not name.startswith(("hyperstyle_", "hyperstyle::"))
        and not re.match(r"(typeinfo|typeinfo name|vtable) for hyperstyle::\w+$", name)
    ]
    inner = [name for name in names if re.search(r"hyperstyle::(Backend|HostBackend|Message|Json|Array)\b", name)]
    assert (foreign, inner) == ([], [])


def test_the_example_in_the_docs_is_the_consumers() -> None:
    (example,) = re.findall(r"```cpp\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert example == (CONSUMER / "smile.cpp").read_text()
