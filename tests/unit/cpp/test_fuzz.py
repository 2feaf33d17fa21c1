"""libFuzzer on the C++ readers of manifests, graphs and inversions, beside the other tests: no finding."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from hyperstyle_deploy.tests.hostile_bundles import hostile_bundles
from hyperstyle_deploy.tests.hostile_inversions import hostile_inversions, sound_inversion
from hyperstyle_deploy.tests.small_bundle import make_small_bundle
from hyperstyle_deploy.tests.unit.cpp.conftest import SOURCES, build, build_folder, missing

#: Another compiler and another build: `make test-all`.
pytestmark = pytest.mark.exhaustive

SECONDS = int(os.environ.get("HYPERSTYLE_FUZZ_SECONDS", "3600"))
MANIFEST, GRAPH, INVERSION = b"\0", b"\1", b"\2"


@dataclass(frozen=True)
class Fuzzing:
    """A fuzzer at work, and its log."""

    process: "subprocess.Popen[Any]"
    log: Path
    folder: Path


def seeds(folder: Path) -> Iterator[bytes]:
    """A sound file of every kind and many spoiled ones, small, so that the fuzzer is quick."""
    sound = make_small_bundle(folder / "sound" / "bundle")
    yield MANIFEST + (sound.path / "bundle.json").read_bytes()
    yield MANIFEST + (make_small_bundle(folder / "descent" / "bundle", "idinvert").path / "bundle.json").read_bytes()
    yield GRAPH + (sound.path / "encoder.onnx").read_bytes()
    yield INVERSION + sound_inversion()
    for index, case in enumerate(hostile_bundles()):
        if index % 7 == 0 and case.name != "huge":
            bundle = case.write(folder / str(index) / "bundle")
            for kind, name in ((MANIFEST, "bundle.json"), (GRAPH, "encoder.onnx")):
                if (bundle.path / name).is_file():
                    yield kind + (bundle.path / name).read_bytes()[: 1 << 16]
    for case in hostile_inversions():
        yield INVERSION + case.content[: 1 << 13]


@pytest.fixture(scope="session")
def fuzzing(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzing]:
    """Started by the first test of this file, waited for by the last test of the run (see conftest.py)."""
    if not (prefix / "bin" / "clang++").exists():
        missing("there is no Clang")
    folder = tmp_path_factory.mktemp("fuzz")
    options = (f"-DCMAKE_CXX_COMPILER={prefix}/bin/clang++", "-DHYPERSTYLE_FUZZ=ON", "-DCMAKE_CXX_FLAGS=-O1 -g1")
    program = build(SOURCES, build_folder(tmp_path_factory, "fuzz"), [prefix], *options, target="fuzz_readers")
    (folder / "corpus").mkdir()
    for index, seed in enumerate(seeds(folder / "bundles")):
        (folder / "corpus" / f"seed-{index}").write_bytes(seed)
    log: IO[bytes]
    with (folder / "log").open("wb") as log:
        command = [program / "fuzz" / "fuzz_readers", folder / "corpus", f"-max_total_time={SECONDS}"]
        # No limit of the peak: the kernel starts a child's at its parent's, and these tests take gigabytes themselves.
        memory = ["-rss_limit_mb=0", "-malloc_limit_mb=1024"]
        limits = ["-max_len=65536", "-timeout=10", *memory, f"-artifact_prefix={folder}/"]
        process = subprocess.Popen([*command, *limits], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    yield Fuzzing(process, folder / "log", folder)
    process.kill()
    process.wait()


def test_the_fuzzer_starts_on_the_seeds(fuzzing: Fuzzing) -> None:
    assert fuzzing.process.poll() in (None, 0)


def test_the_fuzzer_has_no_finding(fuzzing: Fuzzing) -> None:
    code = fuzzing.process.wait(timeout=SECONDS + 120)
    text = fuzzing.log.read_text(errors="replace")
    assert code == 0, text[-6000:]
    assert "DONE" in text
    assert not list(fuzzing.folder.glob("crash-*")) + list(fuzzing.folder.glob("timeout-*"))
