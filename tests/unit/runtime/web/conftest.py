"""Sites on a host of the tests' own, and browsers that look at them."""

import functools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hyperstyle_deploy.runtime.bundle.reader import Bundle
from hyperstyle_deploy.runtime.serving.web.onnxruntime_web import read_runtime
from hyperstyle_deploy.runtime.serving.web.site import Site, export_site
from hyperstyle_deploy.tests.browser import launched, missing

#: Where `make test` puts ONNX Runtime Web's files; HYPERSTYLE_ORT_WEB=DIR names another place.
RUNTIME = Path(os.environ.get("HYPERSTYLE_ORT_WEB") or Path(sys.prefix) / "onnxruntime-web")


class Host(SimpleHTTPRequestHandler):
    """A static host; with ``headers`` it says what the site's `_headers` asks for."""

    def __init__(self, *arguments: Any, headers: bool, **options: Any) -> None:
        self._says_headers = headers
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        if self._says_headers:
            for line in (Path(self.directory) / "_headers").read_text().splitlines()[1:]:
                self.send_header(*line.strip().split(": ", 1))
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hosted(site: Path, headers: bool = True) -> Iterator[str]:
    """The address of a site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(site), headers=headers)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def runtime() -> dict[str, bytes]:
    """ONNX Runtime Web's files; skipped where the installation has not fetched them."""
    if not RUNTIME.is_dir():
        missing(f"{RUNTIME} is not there: make .venv/onnxruntime-web")
    return read_runtime(RUNTIME)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


def site_of(bundle: Path, runtime: dict[str, bytes], folder: Path, example: bytes | None = None) -> Site:
    return export_site(Bundle.open(bundle), "model", runtime, folder, example)
