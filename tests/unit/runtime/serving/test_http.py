"""What the endpoints answer, held against the session itself; and what they refuse."""

import base64
import io
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

from hyperstyle_deploy.runtime.alignment import align as align_photo
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.editing.change import Mix
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Finder, Running, loader, picture, running


def pixels(text: "str | bytes") -> np.ndarray:
    content = base64.b64decode(text) if isinstance(text, str) else text
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    blocks = [block.splitlines() for block in answer.text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def direct(session: Session, content: bytes, steps: int | None = None) -> Inversion:
    return session.invert(Image.open(io.BytesIO(content)), steps=steps)


def test_a_photo_becomes_what_the_session_makes_of_it(served: Running, session: Session) -> None:
    answer = served.client.post("/v1/invert", params={"steps": 2}, content=picture(1))
    assert answer.status_code == 200
    document, expected = answer.json(), direct(session, picture(1), 2)
    assert np.array_equal(pixels(document["image"]), expected.image)
    assert base64.b64decode(document["inversion"]) == expected.to_bytes()
    assert (document["bundle"], document["steps"], tuple(document["l2"])) == ("toy", 2, expected.l2)
    png = served.client.post("/v1/invert?steps=2", content=picture(1), headers={"Accept": "image/png"})
    assert png.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(png.content), expected.image)


def test_a_photo_that_exif_turns_is_inverted_upright(served: Running, session: Session) -> None:
    upright, turned, exif = Image.open(io.BytesIO(picture(1))), io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    upright.transpose(Image.Transpose.ROTATE_270).save(turned, "PNG", exif=exif)
    answer = served.client.post("/v1/invert?steps=1", content=turned.getvalue()).json()
    assert np.array_equal(pixels(answer["image"]), direct(session, picture(1), 1).image)


def test_every_step_is_an_event(served: Running, session: Session) -> None:
    accept = {"Accept": "text/event-stream"}
    seen = events(served.client.post("/v1/invert?steps=3", content=picture(2), headers=accept))
    expected = direct(session, picture(2), 3)
    assert [name for name, _ in seen] == ["step"] * 4 + ["done"]
    assert [event["step"] for _, event in seen[:-1]] == [0, 1, 2, 3]
    assert tuple(event["l2"] for _, event in seen[:-1]) == expected.l2
    assert pixels(seen[0][1]["image"]).shape == expected.image.shape
    assert base64.b64decode(seen[-1][1]["inversion"]) == expected.to_bytes()


def test_until_gain_stops_early(served: Running, session: Session) -> None:
    answer = served.client.post("/v1/invert", params={"steps": 9, "until_gain": 0.5}, content=picture(3)).json()
    expected = session.invert(Image.open(io.BytesIO(picture(3))), steps=9, until_gain=0.5)
    assert answer["steps"] == expected.steps < 9
    assert tuple(answer["l2"]) == expected.l2


def test_edits_are_the_sessions(served: Running, session: Session) -> None:
    inversion = direct(session, picture(4))
    edits = [{"smile": strength} for strength in (-2, 0.5)] + [{}] * 9
    body = {"bundle": "toy", "inversion": base64.b64encode(inversion.to_bytes()).decode(), "edits": edits}
    answer = served.client.post("/v1/edit", json=body).json()
    expected = session.edit(inversion, edits)
    assert all(np.array_equal(pixels(text), image) for text, image in zip(answer["images"], expected, strict=True))
    small = served.client.post("/v1/edit", json={**body, "edits": [{}], "format": "webp"}).json()
    assert Image.open(io.BytesIO(base64.b64decode(small["images"][0]))).format == "WEBP"


@pytest.mark.parametrize("kind", ["mp4", "gif", "webp"])
def test_edits_become_a_film(served: Running, session: Session, kind: str) -> None:
    if kind not in served.client.get("/v1/bundles").json()["films"]:
        pytest.skip("the extra [video] is not installed")
    text = base64.b64encode(direct(session, picture(4)).to_bytes()).decode()
    edits = [{"smile": strength} for strength in range(4)]
    film = base64.b64decode(
        served.client.post("/v1/edit", json={"inversion": text, "edits": edits, "film": kind}).json()["film"]
    )
    if kind == "mp4":
        assert film[4:8] == b"ftyp"
    else:
        assert Image.open(io.BytesIO(film)).n_frames == 6


def test_people_are_mixed(served: Running, session: Session) -> None:
    me, you = (direct(session, picture(seed)) for seed in (4, 5))
    mine, yours = (base64.b64encode(each.to_bytes()).decode() for each in (me, you))
    fields = {"inversion": mine, "mixes": {"you": {"inversion": yours, "rows": [1, 3]}}}
    answer = served.client.post("/v1/edit", json={**fields, "edits": [{"you": 0.5, "smile": 1}]}).json()
    smile = session.directions.read("smile")
    assert np.array_equal(pixels(answer["images"][0]), session.edit(me, {Mix(you, (1, 3)): 0.5, smile: 1})[0])
    for mixes in (
        [],
        {"smile": {"inversion": yours}},
        {"you": {"inversion": yours, "rows": [0, 99]}},
        {"you": {"inversion": yours, "rows": ["0", 1]}},
        {"you": {"inversion": "/etc/passwd"}},
        {"you": {"path": "/etc/passwd"}},
        {name: {"inversion": yours} for name in "abcde"},
    ):
        assert served.client.post("/v1/edit", json={"inversion": mine, "mixes": mixes}).status_code == 400


def test_jobs_go_on_without_a_connection(served: Running, session: Session) -> None:
    answer = served.client.post("/v1/jobs?steps=2", content=picture(5))
    assert answer.status_code == 202
    place = answer.headers["location"]
    seen = events(served.client.get(f"{place}/events"))
    assert [name for name, _ in seen] == ["step", "step", "step", "done"]
    assert base64.b64decode(seen[-1][1]["inversion"]) == direct(session, picture(5), 2).to_bytes()
    assert events(served.client.get(f"{place}/events")) == seen
    assert served.client.get(place).json()["state"] == "done"
    assert served.client.get("/v1/jobs/other").status_code == 404


def test_faces_are_aligned_where_the_request_says(served: Running) -> None:
    landmarks = [[40, 50], [90, 52], [65, 80], [45, 100], [85, 101]]
    photo = picture(6, (160, 140))
    answer = served.client.post("/v1/align", params={"landmarks": json.dumps(landmarks)}, content=photo).json()
    size = served.client.get("/v1/bundles").json()["bundles"][0]["image"]["width"]
    expected = align_photo(Image.open(io.BytesIO(photo)), landmarks, size)
    assert np.array_equal(pixels(answer["image"]), np.asarray(expected.picture))
    assert answer["alignment"] == json.loads(expected.crop.text)
    cut = served.client.post("/v1/invert", content=base64.b64decode(answer["image"])).json()
    both = served.client.post("/v1/invert", params={"landmarks": json.dumps(landmarks)}, content=photo).json()
    assert both == cut
    assert served.client.post("/v1/align", params={"box": "30,30,100,110"}, content=photo).status_code == 200
    again = served.client.post("/v1/align", params={"quad": json.dumps(answer["alignment"]["quad"])}, content=photo)
    found = again.json()
    assert np.abs(pixels(found["image"]).astype(int) - pixels(answer["image"])).max() <= 1
    assert np.allclose(found["alignment"]["quad"], answer["alignment"]["quad"])
    moved = [[x + 3, y - 2] for x, y in answer["alignment"]["quad"]]
    other = served.client.post("/v1/invert", params={"quad": json.dumps(moved)}, content=photo)
    assert (other.status_code, other.json() == both) == (200, False)


def test_faces_are_found_where_the_service_can(session: Session) -> None:
    photo = picture(6, (90, 100))
    with running(Service({"toy": lambda: session}, Settings(), Finder())) as found:
        assert found.client.get("/v1/bundles").json()["finds_faces"]
        one = found.client.post("/v1/align?face=1", content=photo).json()
        given = {"landmarks": json.dumps(Finder.landmarks)}
        assert one == found.client.post("/v1/align", params=given, content=photo).json()
        two = found.client.post("/v1/align?face=2", content=photo)
        assert (two.status_code, "no face 2" in two.text) == (400, True)


def test_bundles_are_described_and_chosen(bundle: Path, toys: Callable[..., Path]) -> None:
    loaders = {"toy": loader(bundle), "other": loader(toys("restyle-psp"))}
    with running(Service(loaders, Settings())) as found:
        described = found.client.get("/v1/bundles").json()["bundles"]
        assert [(each["name"], each["method"]) for each in described] == [
            ("toy", "hyperstyle"),
            ("other", "restyle-psp"),
        ]
        assert [(each["name"], each["strengths"]) for each in described[0]["directions"]] == [("smile", [-3.0, 3.0])]
        assert "source" not in described[0]["directions"][0]
        ours = found.client.post("/v1/invert?bundle=other", content=picture(1)).json()
        assert ours["bundle"] == "other"
        theirs = found.client.post("/v1/edit", json={"bundle": "toy", "inversion": ours["inversion"]})
        assert theirs.status_code == 400
        assert "another" in theirs.json()["error"]


def body(inversion: str = "", **fields: Any) -> bytes:
    return json.dumps({"inversion": inversion, **fields}).encode()


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/v1/invert", b"no photo", 400, "JPEG, PNG or WebP"),
        ("/v1/invert", b"", 400, "no body"),
        ("/v1/invert", picture(1)[:900], 400, "Cannot read the photo"),
        ("/v1/invert?steps=101", picture(1), 400, "steps"),
        ("/v1/invert?steps=-1", picture(1), 400, "steps"),
        ("/v1/invert?steps=1e3", picture(1), 400, "steps"),
        ("/v1/invert?until_gain=nan", picture(1), 400, "until_gain"),
        ("/v1/invert?until_gain=1", picture(1), 400, "until_gain"),
        ("/v1/invert?bundle=../toy", picture(1), 404, "no bundle"),
        ("/v1/align", picture(1), 400, "where the face is"),
        ("/v1/align?box=1,2,3", picture(1), 400, "box"),
        ("/v1/align?box=1,2,x,4", picture(1), 400, "box"),
        ("/v1/align?landmarks=[[1,2]]", picture(1), 400, "shape"),
        ("/v1/align?landmarks=/etc/passwd", picture(1), 400, "JSON"),
        ("/v1/align?quad=/etc/passwd", picture(1), 400, "JSON"),
        ("/v1/align?quad=[[0,0],[0,9],[9,9],[20,0]]", picture(1), 400, "no corners of a square"),
        ("/v1/align?quad=[[0,0],[0,0],[0,0],[0,0]]", picture(1), 400, "no corners of a square"),
        ("/v1/align?quad=[[0,0],[0,9],[9,9]]", picture(1), 400, "no corners of a square"),
        ("/v1/align?quad=[[0,0],[0,9e30],[9e30,9e30],[9e30,0]]", picture(1), 400, "no corners of a square"),
        ("/v1/align?quad=[[0,0],[9,0],[9,9],[0,9]]", picture(1), 400, "no corners of a square"),
        ('/v1/align?quad=[["a",{}],3]', picture(1), 400, "no corners of a square"),
        ("/v1/edit", b"{}", 400, "base64"),
        ("/v1/edit", b"[1]", 400, "object"),
        ("/v1/edit", b'{"path": "/etc/passwd"}', 400, "no request"),
        ("/v1/edit", body("/etc/passwd"), 400, "base64"),
        ("/v1/edit", body(base64.b64encode(b"\x80\x04." * 9).decode()), 400, "inversion"),
        ("/v1/edit", body(bundle=7), 400, "name"),
        ("/v1/edit", b"[" * 100_000, 400, "JSON"),
        ("/v1/nothing", b"", 404, "Not Found"),
    ],
)
def test_what_is_no_request_is_refused(served: Running, path: str, content: bytes, status: int, said: str) -> None:
    answer = served.client.post(path, content=content)
    assert answer.status_code == status
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"edits": []},
        {"edits": [{}] * 33},
        {"edits": {"smile": 1}},
        {"edits": [{"frown": 1}]},
        {"edits": [{"../../secret": 1}]},
        {"edits": [{"smile": "1"}]},
        {"edits": [{"smile": 101}]},
        {"edits": ["smile"]},
        {"format": "tiff"},
        {"format": ["png"]},
        {"film": "../mp4"},
        {"film": 1},
    ],
)
def test_edits_that_are_none_are_refused(served: Running, session: Session, fields: dict[str, Any]) -> None:
    text = base64.b64encode(direct(session, picture(1)).to_bytes()).decode()
    answer = served.client.post("/v1/edit", json={"inversion": text, **fields})
    assert answer.status_code == 400, answer.text


def test_bodies_and_photos_have_bounds(session: Session) -> None:
    settings = Settings(body_bytes=20_000, pixels=2000, body_seconds=0.5, bodies=1)
    with running(Service({"toy": lambda: session}, settings)) as found:
        assert found.client.post("/v1/invert", content=picture(1)).status_code == 200
        too_many = found.client.post("/v1/invert", content=picture(1, (45, 45)))
        assert (too_many.status_code, "2,000 pixels" in too_many.text) == (400, True)
        assert found.client.post("/v1/invert", content=bytes(20_001)).status_code == 413
        assert found.client.post("/v1/invert", content=iter([bytes(10_000)] * 3)).status_code == 413
        with socket.create_connection((found.client.base_url.host, found.client.base_url.port)) as slow:
            slow.sendall(b"POST /v1/invert HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
            assert found.client.post("/v1/invert", content=picture(1)).status_code in (200, 429)
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert not found.service.bodies.locked()


def test_requests_that_do_not_come_are_not_waited_for(session: Session) -> None:
    with running(Service({"toy": lambda: session}, Settings(head_seconds=0.2))) as found:
        place = (found.client.base_url.host, found.client.base_url.port)
        for start in (b"", b"GET /v1/bund", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2"):
            with socket.create_connection(place) as slow:
                slow.settimeout(30)
                slow.sendall(start)
                while slow.recv(10_000):
                    pass  # until the other side closes it
        assert found.client.get("/v2/health/live").status_code == 200


def test_other_pages_and_names_are_refused(served: Running) -> None:
    base = str(served.client.base_url)
    assert served.client.get("/v1/bundles", headers={"Origin": base}).status_code == 200
    assert served.client.get("/v1/bundles", headers={"Origin": "http://evil.example"}).status_code == 403
    assert served.client.get("/v1/bundles", headers={"Origin": "null"}).status_code == 403
    assert served.client.get("/v1/bundles", headers={"Origin": "http://["}).status_code == 403
    for host in ("evil.example", "[", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
        assert served.client.get("/v1/bundles", headers={"Host": host}).status_code == 403
    assert served.client.get("/v1/bundles", headers={"Host": "localhost"}).status_code == 200


def test_the_token_is_asked_for(session: Session) -> None:
    token = "an-open-secret-of-a-test"
    with running(Service({"toy": lambda: session}, Settings(token=token))) as found:
        assert found.client.get("/v2/health/live").status_code == 200
        assert found.client.get("/").status_code == 200
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {token}"}):
            answer = found.client.get("/v1/bundles", headers=header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert found.client.get("/metrics").status_code == 401
        assert found.client.get("/v1/bundles", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_page_is_there_where_it_is_wanted(served: Running, session: Session) -> None:
    page = served.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert served.client.get("/page/page.css").status_code == 200
    modules = ["page.js"]
    for name in modules:  # it grows by what they import
        answer = served.client.get(f"/page/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8"), name
        imported = re.findall(r'^import .*"\./(.*)";$', answer.text, re.MULTILINE)
        modules += [each for each in dict.fromkeys(imported) if each not in modules]
    assert {"service.js", "crop.js"} < set(modules)
    assert served.client.get("/page/../app.py").status_code == 404
    assert served.client.get("/page/example.png").status_code == 404
    with running(Service({"toy": lambda: session}, Settings(page=False))) as found:
        assert found.client.get("/").status_code == 404
    assert not Settings(host="0.0.0.0").shows_page


def test_metrics_count(session: Session) -> None:
    with running(Service({"toy": lambda: session}, Settings())) as found:
        inversion = found.client.post("/v1/invert?steps=2", content=picture(1)).json()["inversion"]
        found.client.post("/v1/edit", json={"inversion": inversion})
        found.client.post("/v1/invert", content=b"x")
        found.client.get("/whatever/a/client/writes")
        text = found.client.get("/metrics").text
    assert 'hyperstyle_answers_total{endpoint="/v1/invert",status="200"} 1.0' in text
    assert 'hyperstyle_answers_total{endpoint="/v1/invert",status="400"} 1.0' in text
    assert "whatever" not in text
    counted = dict(re.findall(r'^hyperstyle_stage_seconds_count{stage="(.*)"} (.*)$', text, re.MULTILINE))
    expected = {"reading": 3, "preparing": 3, "waiting": 2, "step": 3, "inverting": 1, "drawing": 1, "encoding": 2}
    assert {stage: float(count) for stage, count in counted.items()} == expected
    assert 'hyperstyle_waiting{bundle="toy"} 0.0' in text
    assert "process_resident_memory_bytes" in text
