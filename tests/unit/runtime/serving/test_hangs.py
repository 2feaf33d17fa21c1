"""A call of the networks that does not return: what is said of it, what goes on, and that the end comes."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.runtime.serving.http import service as service_module
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.work import Inverting, fail
from hyperstyle_deploy.runtime.serving.live.worker import Queueing, StuckError
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct, pixels

#: Seconds: of a step of a toy bundle there are thousands in it.
STALL = 0.5


class Hanging(Session):
    """Takes no step while it is told to hang."""

    def __init__(self, session: Session, hangs: bool = True) -> None:
        super().__init__(session._backend)
        self.goes_on, self.begun = threading.Event(), 0
        if not hangs:
            self.goes_on.set()

    def refine(self, *arguments: Any) -> Iterator[Any]:
        self.begun += 1
        assert self.goes_on.wait(60)
        yield from super().refine(*arguments)


class Loader:
    """Gives one session after the other."""

    def __init__(self, *sessions: Session) -> None:
        self.sessions, self.loaded = sessions, 0

    def __call__(self) -> Session:
        self.loaded += 1
        return self.sessions[self.loaded - 1]


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "LOOK", 0.05)


def service_of(*sessions: Session, **settings: Any) -> Service:
    return Service({"toy": Loader(*sessions)}, Settings(queueing=Queueing(batch=1, stall=STALL), **settings))


def health(found: Running) -> tuple[int, int, int]:
    """Statuses of live, ready, and the bundle's ready."""
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/toy/ready")
    return tuple(found.client.get(path).status_code for path in paths)  # type: ignore[return-value]


def gauge(found: Running, name: str) -> str:
    lines = found.client.get("/metrics").text.splitlines()
    return next(line.split(" ")[1] for line in lines if line.startswith(f"hyperstyle_{name}"))


def test_another_session_goes_on(session: Session) -> None:
    """Who was at the hang, and who waited for that session, is told to come again; then all is as before."""
    first = Hanging(session)
    with running(service_of(first, session)) as found, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(found.client.post, "/v1/invert", content=picture(seed)) for seed in range(3)]
        for answer in [each.result() for each in asked]:
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
            assert "do not answer" in answer.json()["error"]
        found.wait_until(lambda: health(found) == (200, 200, 200))
        assert (gauge(found, "lost{"), gauge(found, "stuck{")) == ("1.0", "0.0")
        assert gauge(found, 'reloads_total{bundle="toy",outcome="loaded"}') == "1.0"
        answer = found.client.post("/v1/invert", content=picture(7))
        assert np.array_equal(pixels(answer.json()["image"]), direct(session, picture(7)).image)
        pace = found.service.bundles["toy"].worker._pace
        pace[Inverting] = 0.0
        first.goes_on.set()  # it comes back at last, and is not missed
        found.wait_until(lambda: gauge(found, "lost{") == "0.0")
        assert first.begun == 1
        assert pace[Inverting] == 0.0, "how long it hung says nothing of the next photos"
        assert found.client.post("/v1/invert", content=picture(7)).json() == answer.json()


def test_who_leaves_while_a_hang_is_told_of_stops_nothing(session: Session) -> None:
    class Leaves(Future[Any]):
        def set_exception(self, exception: "BaseException | None") -> None:
            self.cancel()
            super().set_exception(exception)

    leaves, stays = (Inverting(session, np.zeros((1, 3, 8, 8), np.float32), 1) for _ in range(2))
    leaves.future = Leaves()
    fail([leaves, stays], StuckError())
    assert isinstance(stays.future.exception(0), StuckError)


def test_what_hangs_again_is_left_to_who_started_it(session: Session) -> None:
    first, second = Hanging(session), Hanging(session)
    with running(service_of(first, second)) as found, ThreadPoolExecutor(2) as pool:
        assert found.client.post("/v1/invert", content=picture(0)).status_code == 503
        found.wait_until(lambda: health(found) == (200, 200, 200))
        again = pool.submit(found.client.post, "/v1/invert", content=picture(0))
        found.wait_until(lambda: health(found) == (503, 503, 503))
        assert (gauge(found, "lost{"), gauge(found, "stuck{")) == ("1.0", "1.0")
        refused = found.client.post("/v1/invert", content=picture(1))
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        second.goes_on.set()
        assert again.result().status_code == 200
        assert health(found) == (200, 200, 200)
        first.goes_on.set()


def test_a_bundle_that_cannot_be_loaded_again_hangs_on(session: Session) -> None:
    first = Hanging(session)
    with running(service_of(first)) as found, ThreadPoolExecutor(2) as pool:
        asked = pool.submit(found.client.post, "/v1/invert", content=picture(0))
        found.wait_until(lambda: health(found) == (503, 503, 503))
        assert gauge(found, 'reloads_total{bundle="toy",outcome="failed"}') == "1.0"
        found.service.bundles["toy"]._load = lambda: session
        assert found.service.reload()  # as SIGHUP does
        assert asked.result().status_code == 503
        assert health(found) == (200, 200, 200)
        assert found.client.post("/v1/invert", content=picture(0)).status_code == 200
        first.goes_on.set()


def test_slow_is_not_stuck(session: Session) -> None:
    """Many steps may take longer together than one may alone."""

    class Slow(Session):
        def refine(self, *arguments: Any) -> Iterator[Any]:
            for step in super().refine(*arguments):
                time.sleep(STALL / 2)
                yield step

    with running(service_of(Slow(session._backend))) as found, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(found.client.post, "/v1/invert?steps=5", content=picture(0))
        while not asked.done():
            assert health(found) == (200, 200, 200)
        assert asked.result().status_code == 200


def test_the_end_waits_no_longer_than_it_may(session: Session) -> None:
    """However many bundles hang."""
    sessions = [Hanging(session) for _ in range(3)]
    loaders = {f"toy{number}": Loader(each) for number, each in enumerate(sessions)}
    service = Service(loaders, Settings(drain=1.0))  # type: ignore[arg-type]
    with ThreadPoolExecutor(3) as pool:
        with running(service) as found:
            for name, each in zip(loaders, sessions, strict=True):
                pool.submit(found.client.post, f"/v1/invert?bundle={name}", content=picture(0))
                found.wait_until(lambda each=each: each.begun == 1)  # type: ignore[misc]
            started = time.monotonic()
            service.drain()
            assert not service.close()
            assert time.monotonic() - started < 2
        for each in sessions:
            each.goes_on.set()
