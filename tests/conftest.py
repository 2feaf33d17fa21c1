"""Fixtures that every test may use: what `demo` makes, once a run, and sessions on its bundle."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hyperstyle_deploy.demo import BUNDLE, CHECKPOINT, ENCODER
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.runtime.backends import available
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.quick_tracing import quicken_tracing
from hyperstyle_deploy.tests.toy_bundle import ToyBundle, write_toy_bundle
from hyperstyle_deploy.tests.unit.kernels.conftest import compile_for_cpu

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.unit.golden_graphs import GraphsBundle

#: Fewer than the command's own 5: most of its time goes to PyTorch, which it compares with.
DEMO_STEPS = 2
#: Of the tiny exports' weights.
LICENCE = "CC0-1.0"


@dataclass(frozen=True)
class Demo:
    """What `hyperstyle-deploy demo` printed, and the folder it filled."""

    text: str
    folder: Path


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's state and cache folders are not touched by tests, nor by the commands that they run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYPERSTYLE_DEPLOY_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("HYPERSTYLE_DEPLOY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def kept_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder for an export: a new one, or with HYPERSTYLE_TINIES=DIR one that stays from run to run.

    Empty DIR after a change to the exporter.
    """
    kept = os.environ.get("HYPERSTYLE_TINIES")
    if not kept:
        return factory.mktemp(name)
    folder = Path(kept) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo as a user runs it; its checkpoints and bundle serve the other tests."""
    folder = kept_folder(tmp_path_factory, "demo")
    printed = folder / "printed.txt"
    if not printed.exists():
        printed.write_text(run_demo(folder))
    return Demo(printed.read_text(), folder)


def run_demo(folder: Path) -> str:
    """Run the command; what it printed."""
    from click.testing import CliRunner

    from hyperstyle_deploy.cli import main

    quicken_tracing()
    result = CliRunner().invoke(
        main,
        ["demo", "-o", str(folder), "--backend", "onnxruntime", "--steps", str(DEMO_STEPS)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="session")
def tiny_checkpoints() -> tuple[Path, Path]:
    """HyperStyle's file and the W-encoder's: the trained model of 64 pixels that the package brings."""
    return CHECKPOINT, ENCODER


@pytest.fixture(scope="session")
def tiny_bundle(demo: Demo) -> Path:
    """Those checkpoints as a bundle, exported by the demo. Tests must not change it."""
    return demo.folder / BUNDLE.name


@pytest.fixture(scope="session", params=available())
def tiny(request: pytest.FixtureRequest, tiny_bundle: Path) -> Session:
    """A session on the tiny bundle, once a backend that is installed."""
    return load(tiny_bundle, backend=request.param)


@pytest.fixture(scope="session")
def tinies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports of seeded checkpoints in the tiny layout, each once: method and options to a bundle's folder.

    Options are those of ``write_checkpoints``, and ``precision``. HyperStyle without options is the demo's.
    """
    from hyperstyle_deploy.export.exporter import export
    from hyperstyle_deploy.export.seeded import TINY, write_checkpoints

    quicken_tracing()

    @cache
    def bundle(method: str = "hyperstyle", precision: str = "float32", **options: Any) -> Path:
        if (method, precision, options) == ("hyperstyle", "float32", {}):
            return Path(request.getfixturevalue("tiny_bundle"))
        name = "-".join([method, precision, *(f"{key}={value}" for key, value in sorted(options.items()))])
        folder = kept_folder(tmp_path_factory, name)
        if not (folder / "tiny.bundle").exists():
            paths = write_checkpoints(folder, method, TINY, **options)
            export(paths, folder / "tiny.bundle", precision=precision, licence=LICENCE)
        return folder / "tiny.bundle"

    return bundle


@pytest.fixture(scope="session")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny HyperStyle bundle, some layers tuned and others not, with every gradient graph and a narrow LPIPS.

    Minutes to export: tests of it are exhaustive. They must not change it.
    """
    from hyperstyle_deploy.export.exporter import export
    from hyperstyle_deploy.export.gradients.perceptual import ALEXNET
    from hyperstyle_deploy.export.gradients.seeded import write_lpips
    from hyperstyle_deploy.export.seeded import TINY, write_checkpoints

    quicken_tracing()
    folder = kept_folder(tmp_path_factory, "optimised")
    if not (folder / "bundle").exists():
        checkpoints = write_checkpoints(folder, "hyperstyle", TINY)
        lpips = write_lpips(folder, ALEXNET, (6, 7, 8, 9, 10))
        export(checkpoints, folder / "bundle", gradients=["projection", "pti", "pti-locality"], perceptual=lpips)
    return folder / "bundle"


@pytest.fixture(scope="session")
def in_domain_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A tiny generator, encoder and VGG16 of IDInvert, seeded. Tests must not change them."""
    from hyperstyle_deploy.export.seeded_idinvert import write_idinvert

    return write_idinvert(tmp_path_factory.mktemp("in-domain"))


@pytest.fixture(scope="session")
def in_domain(in_domain_files: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their bundle; its gradient was held against autograd in float64. Tests must not change it."""
    from hyperstyle_deploy.export.exporter import export

    quicken_tracing()
    path = kept_folder(tmp_path_factory, "idinvert") / "bundle"
    if not path.exists():
        export(in_domain_files[:2], path, vgg16=in_domain_files[2], licence=LICENCE)
    return path


@pytest.fixture(scope="session")
def in_domain256_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, Path]]:
    """The same in the published layout at 256: 0.9 GB. Tests of it are exhaustive."""
    from hyperstyle_deploy.export.seeded_idinvert import PUBLISHED256, write_idinvert

    folder = tmp_path_factory.mktemp("in-domain256")
    yield write_idinvert(folder, PUBLISHED256)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def in_domain256(in_domain256_files: tuple[Path, Path, Path]) -> Path:
    """Their bundle, 1.6 GB. Tests must not change it."""
    from hyperstyle_deploy.export.exporter import export

    quicken_tracing()
    bundle = in_domain256_files[0].parent / "bundle"
    return export(in_domain256_files[:2], bundle, vgg16=in_domain256_files[2]).path


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], GraphsBundle]":
    """Gradient graphs of the published generator at 256, written once a run: "projection", and PTI's "alex" and "vgg".

    Tests of them are exhaustive.
    """
    from hyperstyle_deploy.tests.unit.golden_graphs import projected_graphs, tuned_graphs

    @cache
    def written(name: str) -> "GraphsBundle":
        folder = tmp_path_factory.mktemp(f"golden-{name}")
        return projected_graphs(folder) if name == "projection" else tuned_graphs(folder, name)

    return written


@pytest.fixture(scope="session")
def faces256_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """HyperStyle's file and the W-encoder's, seeded, in the published layout: 1.5 GB. Tests of it are exhaustive."""
    from hyperstyle_deploy.export.seeded import published_sizes, write_checkpoints

    return write_checkpoints(tmp_path_factory.mktemp("faces256"), sizes=published_sizes(256))


@pytest.fixture(scope="session")
def faces256_bundle(faces256_checkpoints: tuple[Path, ...]) -> Path:
    """The published layout at 256 as a bundle. Tests must not change it."""
    from hyperstyle_deploy.export.exporter import export

    return export(faces256_checkpoints, faces256_checkpoints[0].parent / "faces256.bundle").path


#: Below tests/unit: files that trace or build for minutes. `make test-all` runs them; docs/tests.md says what catches
#: the same before.
MINUTES = ("export/engines/test_command.py", "export/test_exporter.py", "test_precision.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes, or a bundle that does, is exhaustive: `make test-all` runs it."""
    unit = Path(__file__).parent / "unit"
    for item in items:
        published = {"faces256_checkpoints", "faces256_bundle", "optimised"} & set(getattr(item, "fixturenames", ()))
        minutes = unit in item.path.parents and item.path.relative_to(unit).as_posix().startswith(MINUTES)
        if published or minutes:
            item.add_marker(pytest.mark.exhaustive)


@pytest.fixture(scope="session")
def cpu_library(tmp_path_factory: pytest.TempPathFactory) -> KernelLibrary:
    """The CUDA sources, compiled for the CPU."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the kernel for the CPU")
    return KernelLibrary(compile_for_cpu(tmp_path_factory.mktemp("kernel") / "modulate_cpu.so", "-O1"))


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Bundles of a few nodes a graph: method and options to a bundle's folder. Tests must not change them."""
    folder = tmp_path_factory.mktemp("toys")

    @cache
    def written(method: str, options: tuple[tuple[str, Any], ...]) -> Path:
        name = "-".join([method, *(f"{key}={value}" for key, value in options)])
        return write_toy_bundle(folder / name, method, **dict(options)).path

    return lambda method="hyperstyle", **options: written(method, tuple(sorted(options.items())))


@pytest.fixture
def toy_bundle(tmp_path: Path) -> ToyBundle:
    """A HyperStyle bundle of a few nodes a graph, for a test to change."""
    return write_toy_bundle(tmp_path / "toy.bundle")
