"""The C++ runtime, built from the working tree with what the distribution offers, once a run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from hyperstyle_deploy.tests.unit.test_session import FORMS

#: Every method, the forms of HyperStyle, and every kind of input.
ALL_FORMS = {
    **FORMS,
    "sketch": ("psp", {"kind": "sketch"}),
    "labels": ("psp", {"kind": "labels"}),
}
ROOT = Path(__file__).parents[3]
PHOTO = ROOT / "tests" / "data" / "faces.png"
SOURCES, PROGRAMS = ROOT / "runtime" / "cpp", Path(__file__).parent / "programs"
#: Triton's interface as far as our backend uses it; with TRITON_HEADERS=DIR Triton's own headers.
TRITON_HEADERS = os.environ.get("TRITON_HEADERS", ROOT / "tests" / "unit" / "triton" / "headers")
#: Set by CI: what is missing fails instead of being skipped.
REQUIRED = bool(os.environ.get("REQUIRE_CPP"))


@dataclass(frozen=True)
class Probe:
    """The program `probe`: a line in, a code and a text out."""

    program: Path
    seconds: int = 300

    def run(self, *lines: Sequence[object]) -> list[tuple[int, str]]:
        """Do what each line says; (0, "") where there was no error."""
        text = "".join("\t".join(map(os.fsdecode, map(os.fsencode, map(str, line)))) + "\n" for line in lines)
        result = subprocess.run(
            [self.program],
            input=text,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=self.seconds,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-4000:]
        answers = [line.split("\t", 1) for line in result.stdout.splitlines()]
        assert len(answers) == len(lines)
        return [(int(code), text) for code, text in answers]


#: Seconds of a command. A build takes one minute on two quiet cores; the same cores have been ten times slower.
LONGEST = 2400


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command; its output, or a failed test that shows it."""
    words = list(map(str, command))
    result = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False, cwd=cwd)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result.stdout


def missing(reason: str) -> None:
    """Skip, or fail in CI."""
    if REQUIRED:
        pytest.fail(f"REQUIRE_CPP is set, and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two pictures of odd sizes. One pass of a resize is left out, since the two runtimes may differ in their order."""
    folder = tmp_path_factory.mktemp("pictures")
    face = Image.open(PHOTO).convert("RGB")
    face.resize((32, 57)).save(folder / "one.png")
    face.rotate(90).resize((45, 32)).save(folder / "other.png")
    return [folder / "one.png", folder / "other.png"]


@pytest.fixture(scope="session")
def prefix() -> Path:
    """The folder with headers and libraries; it stays in `.venv`, so that it is filled once."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            missing(f"there is no {tool}")
    folder = ROOT / ".venv" / "cpp"
    result = subprocess.run(
        [SOURCES / "get_dependencies.sh", folder, "--clang"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if result.returncode != 0:
        missing(f"what the C++ runtime is built with cannot be had here: {result.stderr[-1000:]}")
    return folder


def build(source: Path, folder: Path, prefixes: Sequence[Path], *options: str, target: str = "all") -> Path:
    """Configure and build a CMake project with what the distribution and the prefixes have; return ``folder``."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    where = ";".join(str(path) for prefix in prefixes for path in (prefix, prefix / "usr"))
    run("cmake", "-S", source, "-B", folder, *generator, f"-DCMAKE_PREFIX_PATH={where}", *options)
    run("cmake", "--build", folder, "--parallel", os.cpu_count() or 1, "--target", target)
    return folder


def build_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A new folder; or one that stays from run to run, so that only what changed is compiled."""
    kept = os.environ.get("HYPERSTYLE_CPP_BUILDS")
    return Path(kept) / name if kept else factory.mktemp(name)


@pytest.fixture(scope="session")
def release(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build as it is shipped, warnings as errors."""
    options = ("-DHYPERSTYLE_WARNINGS_AS_ERRORS=ON", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON")
    options = (*options, f"-DTRITON_HEADERS={TRITON_HEADERS}")
    return build(PROGRAMS, build_folder(tmp_path_factory, "release"), [prefix], *options)


@pytest.fixture(scope="session")
def sanitized(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with AddressSanitizer and UndefinedBehaviorSanitizer, any finding ends a program."""
    options = ("-DCMAKE_CXX_FLAGS=-O1 -g1", "-DHYPERSTYLE_SANITIZE=ON", "-DBUILD_SHARED_LIBS=OFF")
    return build(PROGRAMS, build_folder(tmp_path_factory, "sanitized"), [prefix], *options)


@pytest.fixture(scope="session", params=["release", pytest.param("sanitized", marks=pytest.mark.exhaustive)])
def programs(request: pytest.FixtureRequest) -> Path:
    """The folder with `probe` and `session_checks`; CI compiles once, `make test-all` under the sanitizers as well."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="session")
def probe(programs: Path) -> Probe:
    return Probe(programs / "probe")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for the fuzzer comes last: others run beside it."""
    items.sort(key=lambda item: item.name == "test_the_fuzzer_has_no_finding")
