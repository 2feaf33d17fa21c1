"""A real Triton: the server and the Python backend that the wheel of PyTriton brings along, for Linux on x86-64."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hyperstyle_deploy.tests.unit.cpp.conftest import ROOT, missing, prefix, release

__all__ = ["prefix", "release"]

#: Triton 2.51. Its Python backend was compiled before NumPy 2.
WHEELS = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")
FOLDER = ROOT / ".venv" / "triton"


@pytest.fixture(scope="session")
def triton() -> Path:
    """The folder of the wheels; it stays in `.venv`, so that it is filled once."""
    if not (FOLDER / "pytriton").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        result = subprocess.run([*command, "--target", FOLDER, *WHEELS], capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            missing(f"there is no Triton for this machine: {result.stderr[-1000:]}")
    server = FOLDER / "pytriton" / "tritonserver"
    (server / "bin" / "tritonserver").chmod(0o755)
    # PyTriton's own code takes the stub of the Python that it runs in, too.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.exists():
        missing(f"this Triton has no Python {python}")
    (server / "backends" / "python" / stub.name).write_bytes(stub.read_bytes())
    (server / "backends" / "python" / stub.name).chmod(0o755)
    return FOLDER


@contextmanager
def serving(triton: Path, repository: Path, backends: Path, log: Path) -> Iterator[tuple[str, str]]:
    """Start Triton on a repository; its addresses for HTTP and gRPC, once it is ready."""
    work = log.parent
    # The backend's Python takes the environment that is first on the path, and before it what is in its own folder.
    for name, target in (
        ("hyperstyle_deploy", ROOT),
        ("numpy", triton / "numpy"),
        ("numpy.libs", triton / "numpy.libs"),
    ):
        (work / name).symlink_to(target)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        http, grpc = one.getsockname()[1], other.getsockname()[1]
    options = {"model-repository": repository, "backend-directory": backends, "allow-metrics": "false"}
    options |= {"http-address": "127.0.0.1", "http-port": http, "grpc-address": "127.0.0.1", "grpc-port": grpc}
    command = [triton / "pytriton" / "tritonserver" / "bin" / "tritonserver"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 300
        while b"Started HTTPService" not in log.read_bytes():
            assert process.poll() is None, log.read_bytes()[-4000:].decode(errors="replace")
            assert time.monotonic() < until, "Triton did not start"
            time.sleep(0.2)
        yield f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()


@pytest.fixture(scope="session")
def backends(triton: Path, release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Triton's Python backend, and ours in C++."""
    folder = tmp_path_factory.mktemp("backends")
    # The folder and not its files: its library looks for others from where it is.
    (folder / "python").symlink_to(triton / "pytriton" / "tritonserver" / "backends" / "python")
    (folder / "hyperstyle").mkdir()
    shutil.copy(release / "runtime" / "triton" / "libtriton_hyperstyle.so", folder / "hyperstyle")
    return folder
