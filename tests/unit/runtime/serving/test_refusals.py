"""What clients are told when something goes wrong in the service, and what its log is told."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hyperstyle_deploy.errors import BackendError
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.worker import Queueing
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Gated, Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import events

EVENTS = {"Accept": "text/event-stream"}


def test_a_method_that_there_is_not_is_told_which_there_are(served: Running) -> None:
    answer = served.client.get("/v1/invert")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_defect_is_logged_once_and_its_connection_goes_on(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Service({"toy": lambda: session}, Settings())) as found:
        monkeypatch.setattr(found.service, "bundle", lambda name: 1 / 0)
        for _ in range(3):
            assert found.client.post("/v1/invert", content=picture(1)).status_code == 500
        assert found.service.connections == 1, "the connection was closed under its client"
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True] * 3


class Lost(Session):
    """Its backend fails after the start."""

    def refine(self, *arguments: Any) -> Iterator[Any]:
        yield next(super().refine(*arguments))
        raise BackendError("The device at /secret is lost")


class Overflowing(Session):
    """Its L2 is beyond numbers from the start."""

    def refine(self, *arguments: Any) -> Iterator[Any]:
        for step in super().refine(*arguments):
            step.l2[:] = float("nan")
            yield step


@pytest.mark.parametrize(("broken", "kind", "steps"), [(Lost, "Backend", 1), (Overflowing, "Service", 0)])
def test_what_goes_wrong_in_the_service_ends_events_and_stays_in_the_log(
    session: Session, caplog: pytest.LogCaptureFixture, broken: type[Session], kind: str, steps: int
) -> None:
    with running(Service({"toy": lambda: broken(session._backend)}, Settings())) as found:
        seen = events(found.client.post("/v1/invert", content=picture(1), headers=EVENTS))
        job = found.client.post("/v1/jobs", content=picture(1)).headers["location"]
        assert events(found.client.get(f"{job}/events")) == seen
        assert found.client.get(job).json()["state"] == "failed"
    said = {"error": "The service failed. Its log says why.", "kind": kind}
    assert ([name for name, _ in seen], seen[-1][1]) == (["step"] * steps + ["error"], said)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert ("/secret" in caplog.text) == (broken is Lost)


def test_a_result_that_no_file_can_have_is_not_the_clients_fault(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with running(Service({"toy": lambda: Overflowing(session._backend)}, Settings())) as found:
        answer = found.client.post("/v1/invert", content=picture(1))
        assert (answer.status_code, answer.json()["kind"]) == (500, "Service")
        inputs = [{"name": "pixels", "datatype": "UINT8", "shape": [8, 8, 3], "data": [0] * 192}]
        assert found.client.post("/v2/models/toy/infer", json={"inputs": inputs}).status_code == 500
    assert caplog.text.count("The result cannot be told") == 2


def test_who_is_left_at_the_end_is_told_to_come_again(gated: Gated, caplog: pytest.LogCaptureFixture) -> None:
    """At the networks, in the queue, at a job's events, or with half a photo sent."""
    with ThreadPoolExecutor(3) as pool:
        with running(Service({"toy": lambda: gated}, Settings(drain=1.0, queueing=Queueing(batch=1)))) as found:
            job = found.client.post("/v1/jobs", content=picture(0)).headers["location"]
            found.wait_until(lambda: gated.begun == [1])
            waits = pool.submit(found.client.post, "/v1/invert", content=picture(1))
            watches = pool.submit(found.client.get, f"{job}/events")
            listens = pool.submit(found.client.post, "/v1/invert", content=picture(2), headers=EVENTS)
            with socket.create_connection((found.client.base_url.host, found.client.base_url.port)) as slow:
                slow.sendall(b"POST /v1/invert HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
                found.wait_until(lambda: found.service.bundles["toy"].worker.waiting == 2)
                found.wait_until(lambda: len(found.server.server_state.tasks) == 4)
                found.server.handle_exit(15, None)
                answer = waits.result()
                assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
                assert "closing" in answer.json()["error"]
                for each in (watches, listens):
                    assert events(each.result())[-1] == ("error", {**answer.json(), "kind": "Closing"})
                slow.settimeout(30)
                assert slow.recv(1000).startswith(b"HTTP/1.1 503")
        gated.open()
    assert not found.service.is_finished
    assert not [record for record in caplog.records if record.exc_info]
