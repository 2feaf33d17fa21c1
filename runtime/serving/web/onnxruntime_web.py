"""ONNX Runtime Web's files, from npm or a folder: those that are served, of the one version that was tried.

``python -m hyperstyle_deploy.runtime.serving.web.onnxruntime_web FOLDER`` fetches them.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ....errors import BackendError, HyperStyleDeployError
from ...bundle.files import atomic_directory, open_plain

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
#: What a browser loads to compute on a device: what the page imports, what that imports, and the program itself.
DEVICES: Mapping[str, Mapping[str, str]] = {
    "wasm": {
        "script": "ort.wasm.min.mjs",
        "loader": "ort-wasm-simd-threaded.mjs",
        "wasm": "ort-wasm-simd-threaded.wasm",
    },
    "webgpu": {
        "script": "ort.webgpu.min.mjs",
        "loader": "ort-wasm-simd-threaded.asyncify.mjs",
        "wasm": "ort-wasm-simd-threaded.asyncify.wasm",
    },
}
#: SHA-256 of that version's files.
CHECKSUMS: Mapping[str, str] = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
NOTICE = f"""ONNX Runtime Web {VERSION} (npm package {PACKAGE}), files as they were published.
Copyright (c) Microsoft Corporation. MIT License: https://github.com/microsoft/onnxruntime/blob/main/LICENSE
"""
#: Of one of the files; the largest has 27 MB.
_MOST_BYTES = 64 << 20
_SECONDS = 600
_WHAT_TO_DO = (
    f"Install npm, or get the files elsewhere (npm pack {PACKAGE}@{VERSION}, then unpack it) and name their folder: "
    f"--runtime node_modules/{PACKAGE}/dist"
)


def read_runtime(folder: Path | None) -> dict[str, bytes]:
    """The files by name, out of ``folder``, or where that is None out of npm's package.

    Raises:
        BackendError: there is no npm, it fails, a file is missing or is not this version's.
    """
    if folder is not None:
        return {name: _checked(name, _content(folder / name)) for name in CHECKSUMS}
    with tempfile.TemporaryDirectory(prefix="hyperstyle-npm-") as temporary:
        return _unpacked(_packed(Path(temporary)))


def _content(path: Path) -> bytes:
    try:
        with open_plain(path) as stream:
            return stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BackendError(
            f"Cannot read a file of {PACKAGE} {VERSION}: {path}",
            got=getattr(error, "strerror", None) or error,
            hint=_WHAT_TO_DO,
        ) from error


def _packed(folder: Path) -> Path:
    """The package as npm has it: an archive, of which nothing has run."""
    npm = shutil.which("npm")
    if npm is None:
        raise BackendError(f"{PACKAGE} comes from npm", got="no npm in PATH", hint=_WHAT_TO_DO)
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
        got = result.stderr.strip()[-400:] or f"exit {result.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        got = str(error)
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if not archive.is_file():
        raise BackendError(f"npm did not give {PACKAGE}@{VERSION}", got=got, hint=_WHAT_TO_DO)
    return archive


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The served files in the archive; nothing else is read, and no path in it is written to."""
    try:
        with tarfile.open(archive) as packed:
            found = {}
            for name in CHECKSUMS:
                stream = packed.extractfile(f"package/dist/{name}")
                found[name] = _checked(name, stream.read(_MOST_BYTES + 1) if stream else b"")
            return found
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise BackendError(f"npm's archive of {PACKAGE} cannot be read", got=error, hint=_WHAT_TO_DO) from error


def _checked(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != CHECKSUMS[name]:
        raise BackendError(
            f"{name} is not that of {PACKAGE} {VERSION}",
            got=f"sha256 {digest[:12]}",
            expected=f"sha256 {CHECKSUMS[name][:12]}",
            hint=_WHAT_TO_DO,
        )
    return content


def _fetch(folder: Path) -> None:
    found = read_runtime(None)
    with atomic_directory(folder, overwrite=True) as target:
        for name, content in found.items():
            (target / name).write_bytes(content)


if __name__ == "__main__":
    try:
        _fetch(Path(sys.argv[1]))
    except HyperStyleDeployError as error:
        sys.exit(f"Error: {error}")
