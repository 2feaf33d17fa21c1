"""Sites as they are written, and ONNX Runtime Web's files from a folder or npm, of which the tests have their own."""

import dataclasses
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.errors import BackendError, BundleError, OutputError
from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.serving.page_files import PAGE, SHARED
from hyperstyle_deploy.runtime.serving.web import onnxruntime_web, site
from hyperstyle_deploy.runtime.serving.web.onnxruntime_web import CHECKSUMS, DEVICES, PACKAGE, VERSION, read_runtime
from hyperstyle_deploy.tests.unit.runtime.web.conftest import site_of

#: Files of a runtime that never was.
FILES = {name: name.encode() for name in CHECKSUMS}


@pytest.fixture(autouse=True)
def _checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the invented files."""
    invented = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(onnxruntime_web, "CHECKSUMS", invented)


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an npm into PATH, and nothing else."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    """A package as npm makes it."""
    path = folder / "made.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export-web", *map(str, arguments)], catch_exceptions=False)


def test_the_site_has_what_it_lists_and_no_more_of_the_runtime(toys: Callable[..., Path], tmp_path: Path) -> None:
    found = site_of(toys(), FILES, tmp_path / "site", b"a picture")
    (entry,) = json.loads((found.path / "site.json").read_bytes())["bundles"]
    listed = [*entry["files"], *(file for parts in entry["runtime"].values() for file in parts.values())]
    for file in listed:
        content = (found.path / file["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert {path.name for path in (found.path / "runtime").iterdir()} == {*FILES, "README.txt"}
    model = {path.relative_to(found.path).as_posix() for path in (found.path / "model").rglob("*") if path.is_file()}
    assert model == {file["path"] for file in entry["files"]}
    assert "model/offsets.onnx" not in model
    assert found.model == sum(file["bytes"] for file in entry["files"])
    assert (found.path / "page" / "example.png").read_bytes() == b"a picture"


def test_no_module_of_the_page_is_written_over_by_the_browsers() -> None:
    """Both lie in one folder of a site."""
    assert not {path.name for path in SHARED} & {path.name for path in (PAGE / "browser").iterdir()}


def test_what_no_browser_runs_is_refused(toys: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open(toys())
    rounded = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, precision="bfloat16"))
    with pytest.raises(BundleError, match=r"bfloat16.*--precision fp32 or fp16"):
        site.check_runs(rounded)
    monkeypatch.setattr(site, "MOST_BYTES", 1000)
    with pytest.raises(BundleError, match=r"larger than a browser's memory.*at most 1,000"):
        site.check_runs(bundle)


def test_only_a_site_is_replaced(toys: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    bundle = Bundle.open(toys())
    with pytest.raises(OutputError, match="is no site"):
        site.export_site(bundle, "toy", FILES, tmp_path / "photos", overwrite=True)
    site.export_site(bundle, "toy", FILES, tmp_path / "site")
    with pytest.raises(OutputError, match="--overwrite"):
        site.export_site(bundle, "toy", FILES, tmp_path / "site")
    site.export_site(bundle, "other", FILES, tmp_path / "site", overwrite=True)
    assert json.loads((tmp_path / "site" / "site.json").read_bytes())["bundles"][0]["name"] == "other"


def test_the_files_come_from_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: Callable[..., Path]) -> None:
    archive = packed(tmp_path, {**FILES, "ort.all.mjs": b"not served"})
    npm(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; cp {archive} "$6/{PACKAGE}-{VERSION}.tgz"')
    result = run(toys(), "-o", tmp_path / "site", "--json")
    assert result.exit_code == 0, result.output
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(f"pack {PACKAGE}@{VERSION} --ignore-scripts --silent --pack-destination")
    written = json.loads(result.output)
    assert written["runtime_bytes"] == {d: sum(len(n) for n in parts.values()) for d, parts in DEVICES.items()}
    assert (tmp_path / "site" / "runtime" / "ort.wasm.min.mjs").read_bytes() == FILES["ort.wasm.min.mjs"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no such version >&2; exit 1", r"npm did not give .* no such version"),
        ('echo junk > "$6/onnxruntime-web-1.30.0.tgz"', r"archive of onnxruntime-web cannot be read"),
    ],
)
def test_an_npm_that_fails_is_told_of(script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, script)
    with pytest.raises(BackendError, match=said):
        read_runtime(None)


def test_a_package_of_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path, {**FILES, "ort.webgpu.min.mjs": b"changed"})
    npm(tmp_path, monkeypatch, f'cp {archive} "$6/{PACKAGE}-{VERSION}.tgz"')
    with pytest.raises(BackendError, match=rf"ort.webgpu.min.mjs is not that of {PACKAGE} {VERSION}"):
        read_runtime(None)


def test_without_npm_the_error_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: Callable[..., Path]
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    result = run(toys(), "-o", tmp_path / "site")
    assert result.exit_code == 2
    assert f"npm pack {PACKAGE}@{VERSION}" in result.output
    assert "--runtime node_modules/onnxruntime-web/dist" in result.output
    assert not (tmp_path / "site").exists()


def test_a_folder_that_lacks_a_file_or_has_another_version(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert read_runtime(tmp_path) == FILES
    (tmp_path / "ort.wasm.min.mjs").write_bytes(b"another version")
    with pytest.raises(BackendError, match=r"ort\.wasm\.min\.mjs is not that of"):
        read_runtime(tmp_path)
    (tmp_path / "ort.wasm.min.mjs").unlink()
    with pytest.raises(BackendError, match="Cannot read a file of"):
        read_runtime(tmp_path)
