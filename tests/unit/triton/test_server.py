"""Both backends in a real Triton on this machine's CPU: what `triton` in conftest.py is."""

import io
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.demo import BUNDLE, FACE
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.serving.triton.config import Model
from hyperstyle_deploy.runtime.serving.triton.repository import add_model
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.test_adaptation import PIXAR, TOONIFY
from hyperstyle_deploy.tests.unit.triton.conftest import serving

pytestmark = pytest.mark.exhaustive
http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")

HOW = {"backend": "onnxruntime", "threads": 1}
BATCH = 4


@dataclass
class Server:
    address: str
    grpc: str

    @property
    def client(self) -> Any:
        return http.InferenceServerClient(self.address, network_timeout=300)

    def infer(self, model: str, given: Any, outputs: tuple[str, ...] = (), **parameters: Any) -> Any:
        asked = [http.InferRequestedOutput(name) for name in outputs] or None
        return self.client.infer(model, [given], outputs=asked, parameters=parameters)


@pytest.fixture(scope="module")
def drawn(toys: Callable[..., Path]) -> Path:
    """A bundle with further generators."""
    return toys(generators=(TOONIFY, PIXAR))


@pytest.fixture(scope="module")
def server(triton: Path, backends: Path, drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository, work = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("work")
    for backend in ("python", "cpp"):
        add_model(BUNDLE, repository, Model(backend, backend, HOW, batch=BATCH, batch_wait=0.5))
        add_model(drawn, repository, Model(f"{backend}-toonify", backend, {**HOW, "generator": "toonify"}))
    with serving(triton, repository, backends, work / "log") as addresses:
        yield Server(*addresses)


@pytest.fixture(scope="module")
def session() -> Session:
    return load(BUNDLE, **HOW)


def face(turn: int = 0) -> np.ndarray:
    """The demo's photo, at the networks' size: nothing is resized."""
    return np.rot90(np.asarray(Image.open(FACE).convert("RGB").resize((64, 64))), turn).copy()


def pixels(*photos: np.ndarray) -> Any:
    return http.InferInput("pixels", [len(photos), *photos[0].shape], "UINT8").set_data_from_numpy(np.stack(photos))


def file(content: bytes) -> Any:
    return http.InferInput("file", [1, 1], "BYTES").set_data_from_numpy(np.array([[content]], np.object_))


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_a_photo_becomes_what_the_session_makes_of_it(server: Server, session: Session, backend: str) -> None:
    assert server.client.is_model_ready(backend)
    metadata = server.client.get_model_metadata(backend)
    assert [each["name"] for each in metadata["inputs"]] == ["file", "pixels"]
    stream = io.BytesIO()
    Image.fromarray(face()).save(stream, "PNG")
    for given in (pixels(face()), file(stream.getvalue())):
        for parameters in ({}, {"steps": 2}, {"until_gain": 0.2, "steps": 9}):
            answer = server.infer(backend, given, **parameters)
            expected = session.invert(face(), **parameters)
            for name in ("codes", "offset_codes"):
                np.testing.assert_array_equal(answer.as_numpy(name)[0], expected.arrays[name])
            np.testing.assert_array_equal(answer.as_numpy("image")[0], expected.image)
            # NumPy 1, which this Triton needs, and NumPy 2 take sums in different orders.
            np.testing.assert_allclose(answer.as_numpy("l2")[0], expected.l2, rtol=1e-14)
            inversion = Inversion.from_bytes(answer.as_numpy("inversion")[0].tobytes())
            session.check(inversion)
            assert (list(inversion.l2), inversion.steps) == (list(answer.as_numpy("l2")[0]), expected.steps)
    only = server.infer(backend, pixels(face()), ("image",)).get_response()
    assert [each["name"] for each in only["outputs"]] == ["image"]


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_a_further_generator_draws(server: Server, drawn: Path, backend: str) -> None:
    photo, session = face()[:32, :32].copy(), load(drawn, generator="toonify", **HOW)
    answer, expected = server.infer(f"{backend}-toonify", pixels(photo), steps=2), session.invert(photo, steps=2)
    np.testing.assert_array_equal(answer.as_numpy("image")[0], expected.image)
    np.testing.assert_array_equal(answer.as_numpy("codes")[0], expected.codes)
    session.check(Inversion.from_bytes(answer.as_numpy("inversion")[0].tobytes()))


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_requests_run_together_and_each_has_its_own_answer(server: Server, session: Session, backend: str) -> None:
    photos = [face(turn) for turn in range(4)]
    expected = [session.invert(photo) for photo in photos]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: server.infer(backend, pixels(photos[number % 4])), range(16)))
    for number, answer in enumerate(answers):
        assert np.abs(answer.as_numpy("codes")[0] - expected[number % 4].codes).max() < 1e-4
    (statistics,) = server.client.get_inference_statistics(backend)["model_stats"]
    assert max(each["batch_size"] for each in statistics["batch_stats"]) == BATCH
    several = server.infer(backend, pixels(*photos[:3]))
    assert several.as_numpy("image").shape == (3, 64, 64, 3)
    for row, inversion in enumerate(expected[:3]):
        assert np.abs(several.as_numpy("codes")[row] - inversion.codes).max() < 1e-4


@pytest.mark.parametrize("backend", ["python", "cpp"])
@pytest.mark.parametrize(
    ("given", "parameters", "said"),
    [
        (file(b"no photo"), {}, "Cannot read the photo"),
        (pixels(face()), {"steps": -1}, "steps is no number in range"),
        (pixels(face()), {"steps": 101}, "steps is no number in range"),
        (pixels(face()), {"steps": "5"}, "steps is no number in range"),
        (pixels(face()), {"until_gain": 1.0}, "until_gain is out of range"),
        (pixels(face(0), face(1)), {"until_gain": 0.1, "steps": 9}, "one photo a request"),
    ],
)
def test_what_is_wrong_is_said(server: Server, backend: str, given: Any, parameters: Any, said: str) -> None:
    with pytest.raises(Exception, match=said):
        server.infer(backend, given, **parameters)
    assert server.infer(backend, pixels(face()), steps=0).as_numpy("image").shape == (1, 64, 64, 3)


@pytest.mark.parametrize("backend", ["python", "cpp"])
def test_a_cancelled_request_is_not_gone_on_with(server: Server, backend: str) -> None:
    grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is not installed")

    def spent() -> float:
        """Seconds of all requests so far, however Triton's backend for Python counts one that was cancelled."""
        (model,) = server.client.get_inference_statistics(backend)["model_stats"]
        return sum(model["inference_stats"][kind]["ns"] for kind in ("success", "fail")) / 1e9

    before = spent()
    server.infer(backend, pixels(face()), steps=0)
    least, before = spent() - before, spent()
    server.infer(backend, pixels(face()), steps=100)
    whole, before = spent() - before, spent()
    given = grpc.InferInput("pixels", [1, 64, 64, 3], "UINT8").set_data_from_numpy(face()[None])
    answers = queue.SimpleQueue()
    with closing(grpc.InferenceServerClient(server.grpc)) as client:
        parameters = {"steps": 100}
        call = client.async_infer(backend, [given], lambda result, error: answers.put(error), parameters=parameters)
        time.sleep(least + (whole - least) / 5)
        call.cancel()
        assert "ancel" in str(answers.get(timeout=60))
        # It is answered when the instance is free.
        server.infer(backend, pixels(face()), steps=0)
    assert least / 2 < spent() - before - least < 0.8 * whole


def test_both_inputs_are_none(server: Server) -> None:
    for backend in ("python", "cpp"):
        with pytest.raises(Exception, match="The inputs are others"):
            server.client.infer(backend, [pixels(face()), file(b"x")])


def test_a_damaged_bundle_is_not_loaded(triton: Path, backends: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for backend in ("python", "cpp"):
        folder = add_model(BUNDLE, tmp_path / "repository", Model(backend, backend, HOW))
        (folder / "1" / "model.bundle" / "encoder.onnx").write_bytes(b"damaged")
    log = tmp_path / "work" / "log"
    with pytest.raises(AssertionError), serving(triton, tmp_path / "repository", backends, log):
        pass
    text = log.read_text(errors="replace")
    assert text.count("encoder.onnx") >= 2
    assert "Segmentation" not in text
