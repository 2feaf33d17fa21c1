"""`serve` as a process: what it says, its signals, and what it refuses to start with."""

import io
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [serve] is not installed")
httpx = pytest.importorskip("httpx")

COMMAND = (
    sys.executable,
    "-m",
    "hyperstyle_deploy",
    "serve",
    "--backend",
    "onnxruntime",
    "--threads",
    "1",
    "--port",
    "0",
)


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen, str]]:
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield process, re.search(r"http://[\d.]+:\d+", line)[0]
        finally:
            if process.poll() is None:
                process.kill()


def grey() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(stream, "PNG")
    return stream.getvalue()


def test_it_serves_until_it_is_told_to_end(toys: Callable[..., Path]) -> None:
    with started(toys()) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            assert client.get("/").status_code == 200
            process.send_signal(signal.SIGHUP)
            accept = {"Accept": "text/event-stream"}
            with client.stream("POST", "/v1/invert?steps=60", content=grey(), headers=accept) as answer:
                lines = answer.iter_lines()
                assert next(lines) == "event: step"
                process.send_signal(signal.SIGTERM)
                assert "event: done" in list(lines)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


#: A service whose networks do not return; arguments follow.
HANGING = """
import time
from hyperstyle_deploy.runtime.session import Session
Session.refine = lambda *arguments: iter(lambda: time.sleep(600), None)
from hyperstyle_deploy.cli import main
main()
"""


def test_it_ends_though_a_graph_does_not_return(toys: Callable[..., Path]) -> None:
    arguments = ("serve", toys(), "--backend", "onnxruntime", "--threads", 1, "--port", 0, "--drain", 1)
    command = [sys.executable, "-c", HANGING, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = re.search(r"http://[\d.]+:\d+", process.stdout.readline())[0]
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            client.post("/v1/jobs", content=grey())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1, errors
    assert "did not end in time" in errors
    assert "Traceback" not in errors


def test_what_it_cannot_start_with_is_said(toys: Callable[..., Path], tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for arguments, said in (
            ((toys(), "--port", taken.getsockname()[1]), "Cannot listen"),
            ((toys(), "--token-file", short), "holds no token"),
            ((tmp_path,), "bundle"),
            ((toys(), "--landmark-model", short), "--detector"),
            ((toys(), "--generator", "toonify"), "No bundle has a generator toonify. Got: none but their own."),
        ):
            result = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)
            assert (result.returncode, said in result.stderr) == (2, True), result.stderr
            assert "Traceback" not in result.stderr
