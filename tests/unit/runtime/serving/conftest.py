"""Services on real sockets: toy bundles, and sessions that take a step when a test lets them."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [serve] is not installed")
httpx = pytest.importorskip("httpx")

import uvicorn  # noqa: E402

from hyperstyle_deploy.runtime.bundle.reader import read_manifest  # noqa: E402
from hyperstyle_deploy.runtime.editing.direction import Direction  # noqa: E402
from hyperstyle_deploy.runtime.editing.folder import Directions  # noqa: E402
from hyperstyle_deploy.runtime.serving.http.server import configured  # noqa: E402
from hyperstyle_deploy.runtime.serving.http.service import Service  # noqa: E402
from hyperstyle_deploy.runtime.serving.http.settings import Settings  # noqa: E402
from hyperstyle_deploy.runtime.session import Session, load  # noqa: E402
from hyperstyle_deploy.tests.browser import opened  # noqa: E402
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH  # noqa: E402
from hyperstyle_deploy.tests.toy_bundle import ToyBundle, write_toy_bundle  # noqa: E402


def picture(seed: int, size: tuple[int, int] = (40, 40), kind: str = "PNG") -> bytes:
    """A photo, all different."""
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(stream, kind)
    return stream.getvalue()


class Gated(Session):
    """Takes as many steps as a test lets it, and counts."""

    def __init__(self, session: Session) -> None:
        super().__init__(session._backend)
        self.gate = threading.Semaphore(0)
        self.begun: list[int] = []
        self.steps = 0

    def refine(self, batch: Any, *arguments: Any) -> Iterator[Any]:
        self.begun.append(len(batch))
        for step in super().refine(batch, *arguments):
            assert self.gate.acquire(timeout=60)
            self.steps += 1
            yield step

    def open(self) -> None:
        """Let everything through."""
        self.gate.release(100_000)


class Finder:
    """Finds one face, always in the same place."""

    source = "a test"
    landmarks = ((40, 30), (60, 31), (50, 45), (42, 55), (58, 56))

    def find(self, photo: Image.Image, name: str) -> list[np.ndarray]:
        return [np.array(self.landmarks, np.float64)]


@dataclass
class Running:
    """A service that runs: a client of it, the service itself, and its server."""

    client: Any
    service: Service
    server: uvicorn.Server
    thread: threading.Thread

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what other threads do."""
        until = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.005)


@contextmanager
def running(service: Service) -> Iterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = uvicorn.Server(configured(service))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        yield Running(client, service, server, thread)
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def loader(bundle: Path) -> Callable[..., Session]:
    return partial(load, bundle, backend="onnxruntime", threads=1)


def with_direction(bundle: ToyBundle, name: str = "smile") -> Path:
    """The bundle's path; it has a direction now."""
    manifest = read_manifest(bundle.path)
    vector = np.random.default_rng(0).standard_normal((1, WIDTH), np.float32)
    Directions(bundle.path, manifest).add([Direction(name, vector, (0, STYLES), (-3.0, 3.0), manifest.model)])
    return bundle.path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not change it."""
    return with_direction(write_toy_bundle(tmp_path_factory.mktemp("served") / "toy.bundle"))


@pytest.fixture(scope="module")
def session(bundle: Path) -> Session:
    return loader(bundle)()


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Running]:
    """One bundle, with what settings have unless told otherwise."""
    with running(Service({"toy": loader(bundle)}, Settings())) as found:
        yield found


@pytest.fixture
def gated(session: Session) -> Gated:
    return Gated(session)


@pytest.fixture(scope="module")
def found(session: Session) -> Iterator[Running]:
    """A service with an example, for pages."""
    with running(Service({"toy": lambda: session}, Settings(), example=picture(1))) as service:
        yield service


def at(browser: Any, found: Running, path: str = "/") -> Any:
    """A page of it, once its sliders are there."""
    page = opened(browser, f"{found.client.base_url}{path}")
    page.wait_for_selector("#sliders input")
    return page


@pytest.fixture
def page(browser: Any, found: Running) -> Iterator[Any]:
    """The same, which may not complain; ``browser`` is the test module's."""
    shown = at(browser, found)
    yield shown
    assert not shown.complaints
    shown.close()
