"""The sdist and the wheel: what is in them, and that the main job runs from a wheel, without the clone."""

import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy
import pytest

#: Two builds and an environment: `make test-all`.
pytestmark = pytest.mark.exhaustive

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "tests" / "data" / "faces.png"


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def tracked(*patterns: str) -> set[str]:
    return set(run("git", "ls-files", *patterns, cwd=ROOT).stdout.split())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of what is committed or staged, made in a copy: a build leaves files behind."""
    folder = tmp_path_factory.mktemp("sdist")
    (folder / "clone").mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = subprocess.run(["tar", "c", "--null", "-T", "-"], cwd=ROOT, input=files, capture_output=True, check=True)
    subprocess.run(["tar", "x"], cwd=folder / "clone", input=archive.stdout, check=True)
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "-o", folder, cwd=folder / "clone")
    return next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, from the sdist alone."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, sdist)
    run(sys.executable, *command, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_sdist_has_what_the_repository_has(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() - names == {".ci/run", ".gitignore"}
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_wheel_has_the_packages_and_the_kernels_sources(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = tracked(
        "calibration/*", "cli/*", "export/*", "kernels/*", "runtime/*.py", "runtime/*.j2", "runtime/*/page/*"
    )
    assert {f"hyperstyle_deploy/{name}" for name in wanted} <= names
    assert not [name for name in names if "/tests/" in name or "/cpp/" in name]


def test_the_main_job_runs_from_a_wheel(wheel: Path, toys: Callable[..., Path], tmp_path: Path) -> None:
    """In a fresh environment, with the packages of this one beside it, away from the clone."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = next(path for path in (tmp_path / "venv").glob("*/python*") if path.stem == "python")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    site = run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).stdout.strip()
    (Path(site) / "packages.pth").write_text(str(Path(numpy.__file__).parents[1]))
    command = python.with_name("hyperstyle-deploy")
    arguments = ("invert", toys(), PHOTO, "-o", tmp_path / "out", "--steps", 1, "--backend", "onnxruntime")
    run(command, *arguments, cwd=tmp_path)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} >= {".inversion", ".png"}
    program = (
        "import hyperstyle_deploy as hd; from hyperstyle_deploy.install_hint import install_command; "
        "print(hd.__file__); print(install_command('calibrate'))"
    )
    where, hint = run(python, "-c", program, cwd=tmp_path).stdout.splitlines()
    assert Path(where).is_relative_to(tmp_path / "venv")
    assert hint == f'pip install "{wheel}[calibrate]"'
