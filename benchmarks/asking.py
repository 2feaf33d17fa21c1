"""What benchmarks of `serve` share: photos, a service in a process of its own, and requests to it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import psutil
from PIL import Image

Address: TypeAlias = "tuple[str, int]"


def photo(seed: int) -> bytes:
    """A JPEG of 512 pixels, smooth as faces are."""
    small = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=92)
    return stream.getvalue()


@contextmanager
def service(bundle: Path, *options: str) -> Iterator[tuple[Address, psutil.Process]]:
    """A service that listens, and its process; it is told to end at the end."""
    command = [sys.executable, "-m", "hyperstyle_deploy", "serve", str(bundle), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)", process.stdout.readline())
            assert found is not None, "the service did not start"
            yield (found[1], int(found[2])), psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def ask(connection: HTTPConnection, content: bytes) -> tuple[int, float]:
    """Status and seconds of one photo."""
    started = time.perf_counter()
    connection.request("POST", "/v1/invert", content, {"Accept": "image/png"})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - started


def ask_once(address: Address, content: bytes) -> tuple[int, float]:
    """The same over a connection of its own."""
    with closing(HTTPConnection(*address, timeout=300)) as connection:
        return ask(connection, content)
