"""Many at once: equal to one by one; too many; those that leave; the end; and bundles that change."""

import base64
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from hyperstyle_deploy.runtime.serving.http.metrics import Metrics
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.serving.live.work import Drawing, Inverting
from hyperstyle_deploy.runtime.serving.live.worker import Queueing, Worker
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.toy_bundle import ToyBundle
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import (
    Gated,
    Running,
    loader,
    picture,
    running,
    with_direction,
)
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct, pixels


def post(found: Running, seed: int, **options: Any) -> httpx.Response:
    return found.client.post("/v1/invert", content=picture(seed), **options)


def test_answers_at_once_are_those_one_by_one(bundle: Path, session: Session) -> None:
    """Nobody's codes or offsets reach another: every answer, inversion and edit, is that of its own photo."""
    expected = [direct(session, picture(seed), seed % 3) for seed in range(32)]
    settings = Settings(queueing=Queueing(waiting=64, batch=8, batch_wait=0.02, people=3))

    def ask(seed: int) -> None:
        answer = post(found, seed, params={"steps": seed % 3}).json()
        inversion = expected[seed]
        assert np.abs(pixels(answer["image"]).astype(int) - inversion.image.astype(int)).max() <= 1
        edited = found.client.post(
            "/v1/edit",
            json={"inversion": base64.b64encode(inversion.to_bytes()).decode(), "edits": [{"smile": seed / 16 - 1}]},
        ).json()
        assert np.array_equal(pixels(edited["images"][0]), session.edit(inversion, {"smile": seed / 16 - 1})[0])

    with running(Service({"toy": loader(bundle)}, settings)) as found, ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(32)))
        batches = found.client.get("/metrics").text
    assert 'hyperstyle_batch_photos_bucket{le="1.0"} 32.0' not in batches, "none ran together"


def test_too_many_are_told_to_come_again(gated: Gated) -> None:
    settings = Settings(queueing=Queueing(waiting=3, batch=1))
    with running(Service({"toy": lambda: gated}, settings)) as found, ThreadPoolExecutor(16) as pool:
        first = pool.submit(post, found, 0)
        found.wait_until(lambda: gated.begun == [1])
        waiting = [pool.submit(post, found, seed) for seed in range(1, 4)]
        found.wait_until(lambda: found.service.bundles["toy"].worker.waiting == 3)
        refused = [post(found, seed) for seed in range(10)]
        assert {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert found.client.get("/v2/health/ready").status_code == 200
        gated.open()
        assert [each.result().status_code for each in (first, *waiting)] == [200] * 4
        assert post(found, 9).status_code == 200


def test_the_deadline_ends_waiting(gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings(deadline=0.3, queueing=Queueing(batch=1)))) as found:
        answer = post(found, 0)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        gated.gate.release()
        found.wait_until(lambda: found.service.bundles["toy"].worker.running == 0)
        assert gated.steps == 1, "it went on for nobody"


def test_work_of_a_client_that_left_is_not_gone_on_with(gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings())) as found:
        gated.gate.release()
        headers = {"Accept": "text/event-stream"}
        with found.client.stream("POST", "/v1/invert", content=picture(0), headers=headers) as answer:
            assert next(answer.iter_lines()) == "event: step"
        worker = found.service.bundles["toy"].worker
        time.sleep(0.5)  # until the service has noticed
        gated.gate.release()
        found.wait_until(lambda: worker.running == 0)
        assert gated.steps == 2, "it went on for nobody"
        gated.open()
        assert post(found, 1).status_code == 200


def test_work_of_a_client_that_left_is_not_begun(gated: Gated) -> None:
    settings = Settings(queueing=Queueing(batch=1))
    with running(Service({"toy": lambda: gated}, settings)) as found, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, found, 0)
        found.wait_until(lambda: gated.begun == [1])
        worker = found.service.bundles["toy"].worker
        with pytest.raises(httpx.ReadTimeout):
            post(found, 1, timeout=0.5)
        found.wait_until(lambda: worker.waiting == 0)
        gated.open()
        assert first.result().status_code == 200
        assert post(found, 2).status_code == 200
        assert gated.begun == [1, 1]


@pytest.fixture
def held(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Photos are not ready before this is set."""
    ready, prepare = threading.Event(), gated.prepare

    def prepared(photos: Any) -> Any:
        assert ready.wait(30)
        return prepare(photos)

    monkeypatch.setattr(gated, "prepare", prepared)
    gated.open()
    return ready


def test_work_of_a_client_that_left_before_its_photo_was_ready_is_not_begun(
    gated: Gated, held: threading.Event
) -> None:
    with running(Service({"toy": lambda: gated}, Settings())) as found:
        with pytest.raises(httpx.ReadTimeout):
            post(found, 1, timeout=0.5)
        found.wait_until(lambda: found.service.connections == 0)
        time.sleep(0.1)  # until the service has noticed
        held.set()
        assert post(found, 2).status_code == 200
        assert gated.begun == [1]


def test_the_deadline_ends_what_is_not_ready(gated: Gated, held: threading.Event) -> None:
    with running(Service({"toy": lambda: gated}, Settings(deadline=0.3, bodies=1))) as found:
        assert post(found, 0).status_code == 503
        assert found.service.bodies.locked(), "its photo is still there"
        held.set()
        found.wait_until(lambda: not found.service.bodies.locked())
        assert gated.begun == []


def test_a_job_can_be_cancelled(gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings())) as found:
        place = found.client.post("/v1/jobs", content=picture(0)).headers["location"]
        found.wait_until(lambda: gated.begun == [1])
        assert found.client.delete(place).json()["state"] == "cancelled"
        gated.gate.release()
        found.wait_until(lambda: found.service.bundles["toy"].worker.running == 0)
        assert gated.steps == 1
        assert found.client.get(place).json()["state"] == "cancelled"


def test_nothing_is_kept_of_what_has_ended(gated: Gated) -> None:
    """No photo, and so no session that is exchanged meanwhile: not by the worker, nor by jobs, which stay a while."""

    def kept() -> list[str]:
        gc.collect()
        return [repr(each) for each in gc.get_objects() if type(each) is Inverting and each.session is gated]

    with running(Service({"toy": lambda: gated}, Settings())) as found:
        for number in range(3):
            place = found.client.post("/v1/jobs", content=picture(0)).headers["location"]
            found.wait_until(lambda number=number: len(gated.begun) == number + 1)  # type: ignore[misc]
            assert found.client.delete(place).json()["state"] == "cancelled"
            gated.gate.release()
        gated.open()
        found.wait_until(lambda: not kept())
        assert post(found, 1).status_code == 200
        found.wait_until(lambda: not kept())


def test_edits_are_drawn_between_the_steps_of_a_photo(gated: Gated, session: Session) -> None:
    text = base64.b64encode(direct(session, picture(1)).to_bytes()).decode()
    with running(Service({"toy": lambda: gated}, Settings())) as found, ThreadPoolExecutor(2) as pool:
        photo = pool.submit(post, found, 0)
        found.wait_until(lambda: gated.begun == [1])
        edit = pool.submit(found.client.post, "/v1/edit", json={"inversion": text, "edits": [{"smile": 1}]})
        found.wait_until(lambda: found.service.bundles["toy"].worker.waiting == 1)
        gated.gate.release()
        assert edit.result().status_code == 200
        assert not photo.done()
        gated.open()
        assert photo.result().status_code == 200


def test_drawings_without_end_keep_no_photo_waiting(session: Session) -> None:
    worker = Worker("toy", Queueing(), Metrics(), lambda: [session])
    person = direct(session, picture(1), 1)
    photo = Inverting(session, session.prepare([np.zeros((40, 40, 3), np.uint8)]), 3)
    drawn = []

    def draw(last: Any = None) -> None:
        """In the worker's thread, as soon as the last one is drawn: the next one waits already."""
        drawn.append(last)
        if not photo.future.done():
            drawing = Drawing(session, person, [{}])
            drawing.future.add_done_callback(draw)
            worker.submit(drawing)

    draw()
    worker.submit(photo)
    assert photo.future.result(30).steps == 3
    assert len(drawn) > 4, "a drawing after every step"
    assert worker.close(30)


def test_the_end_finishes_what_was_taken(gated: Gated) -> None:
    with running(Service({"toy": lambda: gated}, Settings(queueing=Queueing(batch=1)))) as found:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(post, found, seed) for seed in range(3)]
            worker = found.service.bundles["toy"].worker
            found.wait_until(lambda: gated.begun == [1] and worker.waiting == 2)
            found.service.drain()
            assert found.client.get("/v2/health/ready").status_code == 503
            assert found.client.get("/v2/health/live").status_code == 200
            late = post(found, 9)
            assert (late.status_code, "retry-after" in late.headers) == (503, True)
            found.server.should_exit = True
            gated.open()
            assert [each.result().status_code for each in asked] == [200] * 3
        found.thread.join(30)
        assert not found.thread.is_alive()


def test_a_bundle_is_exchanged_while_it_serves(toy_bundle: ToyBundle, session: Session) -> None:
    path = toy_bundle.path
    with running(Service({"toy": loader(path)}, Settings())) as found:
        assert len(found.client.get("/v1/bundles").json()["bundles"][0]["directions"]) == 0
        with_direction(toy_bundle, "pose")
        assert found.service.reload()
        assert len(found.client.get("/v1/bundles").json()["bundles"][0]["directions"]) == 1
        (path / "encoder.onnx").write_bytes(b"damaged")
        assert not found.service.reload()
        answer = post(found, 1).json()
        assert np.array_equal(pixels(answer["image"]), direct(session, picture(1)).image)
        found.service.bundles["toy"]._load = lambda: 1 / 0  # type: ignore[assignment,return-value]
        assert not found.service.reload()
        assert post(found, 1).json() == answer
        text = found.client.get("/metrics").text
        assert 'hyperstyle_reloads_total{bundle="toy",outcome="failed"} 2.0' in text
        assert 'hyperstyle_reloads_total{bundle="toy",outcome="loaded"} 1.0' in text


def test_what_fails_is_told_and_the_worker_goes_on(gated: Gated, monkeypatch: Any) -> None:
    gated.open()
    with running(Service({"toy": lambda: gated}, Settings())) as found:
        monkeypatch.setattr(gated, "settled_photo", lambda *arguments: 1 / 0)
        answer = post(found, 1)
        assert (answer.status_code, "log" in answer.json()["error"]) == (500, True)
        monkeypatch.undo()
        assert post(found, 1).status_code == 200


@pytest.mark.exhaustive
def test_memory_and_descriptors_stay_flat_under_what_goes_wrong(session: Session) -> None:
    """Of 1500 requests each twentieth is none of ours, and each twentieth leaves before it is answered."""
    process = psutil.Process()

    def ask(found: Running, seed: int) -> int:
        if seed % 20 == 7:
            return found.client.post("/v1/invert", content=picture(seed)[: 50 + seed % 600]).status_code
        if seed % 20 == 9:
            headers = {"Accept": "text/event-stream"}
            with found.client.stream("POST", "/v1/invert", content=picture(seed), headers=headers) as answer:
                return answer.status_code
        return post(found, seed).status_code

    with running(Service({"toy": lambda: session}, Settings())) as found, ThreadPoolExecutor(8) as pool:
        marks = []
        for first in range(0, 1500, 500):
            statuses = set(pool.map(lambda seed: ask(found, seed), range(first, first + 500)))
            assert statuses <= {200, 400, 429}
            marks.append((process.memory_info().rss, process.num_fds()))
    assert marks[2][1] - marks[0][1] <= 8
    assert marks[2][0] - marks[0][0] < 20 << 20
