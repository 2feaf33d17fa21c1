"""Further generators that requests name: what they draw, what a service loads, and what it refuses."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.editing.direction import Direction
from hyperstyle_deploy.runtime.editing.folder import Directions
from hyperstyle_deploy.runtime.manifest.manifest import FineTunedSpec
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.small_bundle import STYLES, WIDTH
from hyperstyle_deploy.tests.toy_bundle import write_toy_bundle
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Running, loader, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct, events, pixels
from hyperstyle_deploy.tests.unit.runtime.serving.test_protocol_v2 import pixels_input, tensors

TOONIFY, PIXAR = FineTunedSpec("toonify", (5, 7), 2), FineTunedSpec("pixar", (7,), 2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two further generators, of which the service has one."""
    path = tmp_path_factory.mktemp("served") / "toy.bundle"
    write_toy_bundle(path, generators=(TOONIFY, PIXAR))
    vector = np.random.default_rng(0).standard_normal((1, WIDTH), np.float32)
    manifest = read_manifest(path)
    Directions(path, manifest).add([Direction("smile", vector, (0, STYLES), (-3.0, 3.0), manifest.model)])
    return path


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Running]:
    with running(Service({"toy": loader(bundle)}, Settings(), generators=("toonify",))) as found:
        yield found


@pytest.fixture(scope="module")
def toonify(bundle: Path) -> Session:
    return loader(bundle)(generator="toonify")


def text_of(inversion: Inversion) -> str:
    return base64.b64encode(inversion.to_bytes()).decode()


def test_photos_are_drawn_by_it(served: Running, toonify: Session) -> None:
    options, expected = {"steps": 2, "generator": "toonify"}, direct(toonify, picture(1), 2)
    answer = served.client.post("/v1/invert", params=options, content=picture(1)).json()
    assert np.array_equal(pixels(answer["image"]), expected.image)
    assert Inversion.from_bytes(base64.b64decode(answer["inversion"])).method == "hyperstyle+toonify"
    own = served.client.post("/v1/invert", params={"steps": 2}, content=picture(1)).json()
    assert np.abs(pixels(own["image"]).astype(int) - expected.image).max() > 5
    accept = {"Accept": "text/event-stream"}
    seen = events(served.client.post("/v1/invert", params=options, content=picture(1), headers=accept))
    assert [np.array_equal(pixels(event["image"]), expected.image) for _, event in seen[2:]] == [True, True]


def test_jobs_and_edits(served: Running, toonify: Session) -> None:
    job = served.client.post("/v1/jobs", params={"steps": 1, "generator": "toonify"}, content=picture(2)).json()
    *_, (name, done) = events(served.client.get(f"/v1/jobs/{job['job']}/events"))
    person = Inversion.from_bytes(base64.b64decode(done["inversion"]))
    assert name == "done"
    assert np.array_equal(person.codes, direct(toonify, picture(2), 1).codes)
    mixes = {"you": {"inversion": text_of(direct(toonify, picture(3), 1))}}
    body = {"inversion": done["inversion"], "edits": [{"smile": 2}, {"you": 0.5}], "mixes": mixes}
    answer = served.client.post("/v1/edit", json={**body, "generator": "toonify"}).json()
    assert np.array_equal(pixels(answer["images"][0]), toonify.edit(person, [{"smile": 2}, {}])[0])
    refused = served.client.post("/v1/edit", json=body)
    assert refused.status_code == 400
    assert "loaded with the generator toonify" in refused.json()["error"]


def test_the_open_inference_protocol_has_a_parameter(served: Running, toonify: Session) -> None:
    body = {"parameters": {"steps": 1, "generator": "toonify"}, "inputs": [pixels_input(1)]}
    answer = served.client.post("/v2/models/toy/infer", json=body).json()
    assert np.array_equal(tensors(answer)["image"], direct(toonify, picture(1), 1).image)
    refused = served.client.post("/v2/models/toy/infer", json={**body, "parameters": {"generator": "anime"}})
    assert refused.status_code == 404


def test_what_is_served_is_told(served: Running) -> None:
    (document,) = served.client.get("/v1/bundles").json()["bundles"]
    assert document["generators"] == ["toonify"]


@pytest.mark.parametrize("generator", ["pixar", "anime", "../toonify", "toonify ", "x" * 5000])
def test_another_name_is_refused(served: Running, generator: str) -> None:
    answers = [
        served.client.post("/v1/invert", params={"generator": generator}, content=picture(1)),
        served.client.post("/v1/jobs", params={"generator": generator}, content=picture(1)),
        served.client.post("/v1/edit", json={"generator": generator, "inversion": "", "edits": [{}]}),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("toy has no such generator. Got: ")
        assert answer.json()["error"].endswith("Expected: toonify.")
        assert len(answer.text) < 200


def test_a_generator_that_is_no_name_is_refused(served: Running) -> None:
    assert served.client.post("/v1/edit", json={"generator": 1, "inversion": "", "edits": [{}]}).status_code == 404


def test_people_of_both_generators_are_kept_and_those_of_before_a_reload_are_not(
    bundle: Path, tmp_path: Path, toonify: Session
) -> None:
    path = shutil.copytree(bundle, tmp_path / "toy.bundle")
    with running(Service({"toy": loader(path)}, Settings(), generators=("toonify",))) as found:
        served = found.service.bundles["toy"]
        bodies: list[dict[str, object]] = [
            {"inversion": text_of(direct(loader(path)(), picture(4), 1))},
            {"inversion": text_of(direct(toonify, picture(4), 1)), "generator": "toonify"},
        ]
        for body in bodies * 2:
            assert found.client.post("/v1/edit", json=body).status_code == 200
        before = set(served.sessions)
        assert {session for session, _ in served.worker._hand._people} == before
        assert found.service.reload()
        for body in bodies:
            assert found.client.post("/v1/edit", json=body).status_code == 200
        assert {session for session, _ in served.worker._hand._people} == set(served.sessions)
        assert not before & set(served.sessions)


def test_a_bundle_without_its_generator_does_not_take_the_place_of_one_with_it(
    bundle: Path, tmp_path: Path, toys: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = shutil.copytree(bundle, tmp_path / "toy.bundle")
    with running(Service({"toy": loader(path)}, Settings(), generators=("toonify",))) as found:
        path.rename(tmp_path / "old.bundle")
        shutil.copytree(toys(), path)
        assert not found.service.reload()
        assert "The new bundle has no generator toonify" in caplog.text
        assert found.client.post("/v1/invert?steps=1&generator=toonify", content=picture(1)).status_code == 200


def test_a_service_does_not_begin_without_its_generators(bundle: Path, toys: Callable[..., Path]) -> None:
    loaders = {"toy": loader(bundle), "plain": loader(toys())}
    with pytest.raises(BundleError, match=r"No bundle has a generator anime\. Got: pixar, toonify.*--generator anime="):
        Service(loaders, Settings(), generators=("toonify", "anime"))
    with running(Service(loaders, Settings(), generators=("toonify",))) as found:
        told = {each["name"]: each["generators"] for each in found.client.get("/v1/bundles").json()["bundles"]}
        assert told == {"toy": ["toonify"], "plain": []}
        answer: httpx.Response = found.client.post("/v1/invert?bundle=plain&generator=toonify", content=picture(1))
        assert (answer.status_code, "none but its own" in answer.text) == (404, True)
