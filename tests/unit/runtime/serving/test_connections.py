"""Connections: too many, those that take nothing, those that are gone at once; and what requests have opened."""

import asyncio
import base64
import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from hyperstyle_deploy.runtime.serving.http.answers import events
from hyperstyle_deploy.runtime.serving.http.app import application
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.work import Inverting
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Gated, Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct


def connected(found: Running) -> socket.socket:
    return socket.create_connection((found.client.base_url.host, found.client.base_url.port))


def test_connections_beyond_the_bound_are_told_to_come_again(session: Session) -> None:
    with running(Service({"toy": lambda: session}, Settings(connections=3))) as found:
        assert found.client.get("/v1/bundles").status_code == 200
        idle = [connected(found) for _ in range(3)]
        found.wait_until(lambda: found.service.connections == 4)
        refused = found.client.get("/v1/bundles")
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert refused.headers["connection"] == "close"
        assert found.client.get("/v2/health/live").status_code == 200
        for each in idle:
            each.close()
        found.wait_until(lambda: found.service.connections <= 1)
        assert found.client.get("/v1/bundles").status_code == 200
        text = found.client.get("/metrics").text
        assert 'hyperstyle_answers_total{endpoint="none",status="503"} 1.0' in text


@pytest.mark.parametrize(("settings", "status"), [(Settings(token="t" * 16), 401), (Settings(body_bytes=1 << 20), 413)])
def test_who_sends_a_large_photo_gets_to_read_that_it_is_refused(
    session: Session, settings: Settings, status: int
) -> None:
    """Clients as Python's own send all of it before they read, and have the connection closed."""
    with running(Service({"toy": lambda: session}, settings)) as found:
        for _ in range(3):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{found.client.base_url}/v1/invert", bytes(12 << 20))
            assert refused.value.code == status
            refused.value.close()
        # Who sends nothing before being told to is not waited for.
        with connected(found) as waits:
            waits.settimeout(5)
            waits.sendall(b"POST /v1/invert HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            waits.sendall(b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n")
            answer = b""
            while part := waits.recv(10_000):
                answer += part
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        assert b"connection: close" in answer


def test_the_rest_of_a_refused_photo_is_not_waited_for_long(session: Session) -> None:
    service = Service({"toy": lambda: session}, Settings(token="t" * 16, head_seconds=0.3))
    with running(service) as found, connected(found) as slow:
        slow.settimeout(30)
        slow.sendall(b"POST /v1/invert HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n")
        slow.sendall(b"Content-Length: 99\r\n\r\nabc")
        assert slow.recv(1000).startswith(b"HTTP/1.1 401")


def test_an_answer_that_nobody_takes_is_not_kept(session: Session) -> None:
    """Many requests on one connection whose answers are not read: what is sent waits in memory, and then no longer."""
    with running(Service({"toy": lambda: session}, Settings(head_seconds=0.3))) as found:
        with connected(found) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(0.5)
            request = b"GET /page/page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            try:
                for _ in range(5000):
                    slow.sendall(request)
            except OSError:
                pass  # it takes no more requests either
            found.wait_until(lambda: found.service.connections <= 1)
        assert found.client.get("/v2/health/live").status_code == 200


def test_work_of_a_client_that_left_before_the_first_event_is_not_begun(gated: Gated) -> None:
    """It left while its photo was read: the answer's events are never asked for."""
    service = Service({"toy": lambda: gated}, Settings())
    worker = service.bundles["toy"].worker

    async def ask(number: int) -> None:
        messages = [
            {"type": "http.request", "body": picture(number), "more_body": False},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Any:
            return messages.pop(0) if len(messages) > 1 else messages[0]

        async def send(message: Any) -> None:
            pass

        headers = [(b"host", b"127.0.0.1"), (b"accept", b"text/event-stream")]
        scope = {"type": "http", "method": "POST", "path": "/v1/invert", "query_string": b"", "headers": headers}
        await application(service)(scope, receive, send)

    for number in range(3):
        asyncio.run(ask(number))
    gated.open()
    assert service.close()
    assert gated.steps <= 1, "it was worked at for nobody"
    assert worker.waiting == 0


def test_steps_that_nobody_reads_are_kept_as_files_and_not_as_pictures(gated: Gated) -> None:
    """Pictures are ten times as large."""

    async def unread() -> list[Any]:
        service = Service({"toy": lambda: gated}, Settings())
        work = Inverting(gated, gated.prepare([np.zeros((40, 40, 3), np.uint8)]), 9)
        stream = events(service, service.bundle(None), work)
        watch, pictures = work.watch, []
        assert watch is not None

        def watched(index: int, l2: float | None, shown: Any) -> None:
            pictures.append(weakref.ref(shown))
            watch(index, l2, shown)

        work.watch = watched
        gated.open()
        await asyncio.wrap_future(work.future)
        until = time.monotonic() + 30
        while any(picture() is not None for picture in pictures) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        kept = [picture for picture in pictures if picture() is not None]
        assert [event.split(b"\n")[0] async for event in stream] == [b"event: step"] * 10 + [b"event: done"]
        assert len(pictures) == 10
        assert service.close()
        return kept

    assert asyncio.run(unread()) == []


def test_the_deadline_ends_events_and_jobs(gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings(deadline=0.3))) as found:
        headers = {"Accept": "text/event-stream"}
        job = found.client.post("/v1/jobs", content=picture(1)).headers["location"]
        answer = found.client.post("/v1/invert", content=picture(0), headers=headers).text
        assert answer.startswith("event: error")
        assert "too slow" in answer
        assert found.client.get(job).json()["state"] == "failed"
        gated.open()
        found.wait_until(lambda: found.service.bundles["toy"].worker.running == 0)
        assert gated.steps <= 1, "it went on for nobody"


@contextmanager
def watched() -> Iterator[set[str]]:
    """What is opened, connected to, started or unpickled meanwhile, by any thread but the test's own."""
    seen: set[str] = set()
    _WATCHES.append(seen)
    try:
        yield seen
    finally:
        _WATCHES.remove(seen)


_WATCHES: list[set[str]] = []
_EVENTS = ("open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "pickle.find_class", "os.listdir")


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHES and event in _EVENTS and threading.current_thread() is not threading.main_thread():
        for each in _WATCHES:
            each.add(f"{event} {arguments[0]!r}")


sys.addaudithook(_look)  # there is no way to take it back


def test_nothing_that_a_client_sends_is_opened(served: Running, session: Session) -> None:
    """Paths, addresses and pickles wherever a request has room for text; and good requests open nothing, either."""
    inversion = base64.b64encode(direct(session, picture(1)).to_bytes()).decode()
    pickled = base64.b64encode(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.").decode()
    post = served.client.post
    for content in (picture(1), b"none"):  # whatever is read once: Pillow's readers, modules
        post("/v1/align?box=5,5,35,35", content=content)
        post("/v1/invert", content=content)
    post("/v1/edit", json={"inversion": inversion, "edits": [{"smile": 1}]})
    time.sleep(0.2)
    with watched() as seen:
        assert post("/v1/invert?steps=1", content=picture(1)).status_code == 200
        assert post("/v1/edit", json={"inversion": inversion, "edits": [{"smile": 1}]}).status_code == 200
        box = post("/v1/align", params={"box": "5,5,35,35"}, content=picture(1))
        assert box.status_code == 200
        for text in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "../../secret", pickled):
            post("/v1/invert", params={"bundle": text}, content=picture(1))
            post("/v1/align", params={"landmarks": json.dumps(text)}, content=picture(1))
            post("/v1/align", params={"quad": text, "box": text}, content=picture(1))
            post("/v1/invert", content=text.encode())
            post("/v1/edit", json={"inversion": text, "edits": [{text: 1}]})
            post("/v1/edit", json={"inversion": inversion, "edits": [{text: 1}], "bundle": text})
            post("/v1/edit", json={"inversion": inversion, "mixes": {text: {"inversion": text}}, "format": text})
            file = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [text]}
            post("/v2/models/toy/infer", json={"inputs": [file]})
            post(f"/v2/models/{text.replace('/', '%2F')}/infer", json={"inputs": [file]})
            served.client.get(f"/v1/jobs/{text.replace('/', '%2F')}")
    assert not seen
    with watched() as seen:
        thread = threading.Thread(target=lambda: open("/dev/null").close())
        thread.start()
        thread.join()
    assert seen == {"open '/dev/null'"}, "the watch sees nothing"
