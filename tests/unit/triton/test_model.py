"""The model of Triton's Python backend: batches of requests, each answered for itself."""

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.demo import BUNDLE, FACE
from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.reader import read_manifest
from hyperstyle_deploy.runtime.serving.live import work
from hyperstyle_deploy.runtime.serving.triton.config import Model
from hyperstyle_deploy.runtime.serving.triton.repository import add_model
from hyperstyle_deploy.runtime.session import Session, load
from hyperstyle_deploy.tests.unit.runtime.test_adaptation import PIXAR, TOONIFY
from hyperstyle_deploy.tests.unit.triton import stand_in
from hyperstyle_deploy.tests.unit.triton.stand_in import InferenceRequest, Tensor, TritonError

OUTPUTS = ("image", "codes", "offset_codes", "l2", "inversion")
HOW = {"backend": "onnxruntime", "threads": 1}


def photo(seed: int, size: tuple[int, int] = (40, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def pixels(*photos: np.ndarray) -> Tensor:
    return Tensor("pixels", np.stack(photos))


def file(content: bytes) -> Tensor:
    return Tensor("file", np.array([[content]], np.object_))


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def arrays(response: Any) -> dict[str, np.ndarray]:
    assert not response.has_error(), response.error().message()
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def check(found: dict[str, np.ndarray], expected: Inversion, row: int = 0) -> None:
    np.testing.assert_array_equal(found["image"][row], expected.image)
    np.testing.assert_array_equal(found["codes"][row], expected.codes)
    np.testing.assert_array_equal(found["l2"][row], expected.l2)
    assert Inversion.from_bytes(found["inversion"][row].tobytes()).steps == expected.steps


def opened(folder: Path, kind: str = "CPU", **more: str) -> Any:
    """The model as Triton's stub has it: from `model.py`, told what Triton tells."""
    parameters = {"backend": "onnxruntime", "threads": "1", **more}
    config = json.dumps({"parameters": {name: {"string_value": value} for name, value in parameters.items()}})
    spec = importlib.util.spec_from_file_location("model", folder / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize(
        {
            "model_config": config,
            "model_name": folder.name,
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_name": f"{folder.name}_0",
            "model_instance_kind": kind,
            "model_instance_device_id": "0",
        }
    )
    return model


@pytest.fixture(autouse=True)
def utilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)


@pytest.fixture(scope="module")
def folder(toys: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_model(toys(), tmp_path_factory.mktemp("repository"), Model("toy", loading=HOW, batch=8))


@pytest.fixture
def model(folder: Path) -> Iterator[Any]:
    found = opened(folder)
    yield found
    found.finalize()


@pytest.fixture(scope="module")
def session(toys: Callable[..., Path]) -> Session:
    return load(toys(), **HOW)


def test_photos_of_a_batch_are_answered_each_with_its_own(
    model: Any, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []
    monkeypatch.setattr(Session, "settling", lambda self, photos, *rest, own=Session.settling: (
        together.append(photos), own(self, photos, *rest))[1])  # fmt: skip
    sizes = [(40, 40), (33, 50), (40, 40)]
    requests = [InferenceRequest([pixels(photo(seed, size))], OUTPUTS) for seed, size in enumerate(sizes)]
    requests.append(InferenceRequest([file(png(photo(3)))], ("image", "codes", "l2", "inversion"), {"steps": 2}))
    requests.append(InferenceRequest([pixels(photo(4), photo(5))], OUTPUTS))
    responses = [arrays(response) for response in model.execute(requests)]
    assert sorted(together) == [1, 5]
    for seed, size in enumerate(sizes):
        check(responses[seed], session.invert(photo(seed, size)))
    check(responses[3], session.invert(photo(3), steps=2))
    assert "offset_codes" not in responses[3]
    for row, seed in enumerate((4, 5)):
        check(responses[4], session.invert(photo(seed)), row)


def test_what_one_request_has_wrong_costs_no_other(model: Any, session: Session) -> None:
    wrong = [
        InferenceRequest([file(b"no photo")], OUTPUTS),
        InferenceRequest([], OUTPUTS),
        InferenceRequest([pixels(photo(1)), file(png(photo(1)))], OUTPUTS),
        InferenceRequest([pixels(photo(1))], OUTPUTS, {"steps": -1}),
        InferenceRequest([pixels(photo(1))], OUTPUTS, {"steps": "5"}),
        InferenceRequest([pixels(photo(1))], OUTPUTS, {"steps": 101}),
        InferenceRequest([pixels(photo(1))], OUTPUTS, {"until_gain": 1}),
        InferenceRequest([Tensor("pixels", np.zeros((1, 0, 4, 3), np.uint8))], OUTPUTS),
        InferenceRequest([Tensor("pixels", np.zeros((1, 4, 4, 3), np.float32))], OUTPUTS),
        InferenceRequest([file(b"/etc/passwd")], OUTPUTS),
    ]
    *failed, answered = model.execute([*wrong, InferenceRequest([pixels(photo(1))], OUTPUTS)])
    check(arrays(answered), session.invert(photo(1)))
    for response in failed:
        assert response.error().code() == TritonError.INVALID_ARG
        assert response.output_tensors() == []


def test_photos_that_stop_after_different_steps_are_no_one_tensor(tmp_path: Path) -> None:
    model = opened(add_model(BUNDLE, tmp_path, Model("faces", loading=HOW, batch=2)))
    both = [np.asarray(Image.open(FACE).convert("RGB").resize((64, 64))), photo(0, (64, 64))]
    asked = {"until_gain": 0.1, "steps": 9}
    rows = []
    for picture in both:
        (response,) = model.execute([InferenceRequest([pixels(picture)], ("l2",), asked)])
        rows.append(arrays(response)["l2"].shape[1])
    assert rows[0] != rows[1]
    (response,) = model.execute([InferenceRequest([pixels(*both)], ("l2",), asked)])
    assert "one photo a request" in response.error().message()
    (response,) = model.execute([InferenceRequest([pixels(*both)], ("image",), asked)])
    assert arrays(response)["image"].shape[0] == 2


def test_cancelled_requests_are_not_gone_on_with(model: Any, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr(work, "_look", lambda work, step, photo: steps.append((photo, step.index)))
    before = InferenceRequest([pixels(photo(1))], OUTPUTS, looks=0)
    between = InferenceRequest([pixels(photo(2))], OUTPUTS, looks=2)
    kept = InferenceRequest([pixels(photo(3))], OUTPUTS)
    first, second, third = model.execute([before, between, kept])
    assert [first.error().code(), second.error().code()] == [TritonError.CANCELLED] * 2
    check(arrays(third), session.invert(photo(3)))
    assert {step for number, step in steps if number == 0} == {0, 1}
    assert max(step for number, step in steps if number == 1) == session.manifest.default_steps
    assert {number for number, _ in steps} == {0, 1}


def test_a_defect_is_the_logs_affair(
    model: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Session, "refine", broken)
    (response,) = model.execute([InferenceRequest([pixels(photo(1))], OUTPUTS)])
    assert (response.error().code(), "secret" in response.error().message()) == (TritonError.INTERNAL, False)
    assert "secret detail" in caplog.text


def test_a_further_generator_draws(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle = toys(generators=(TOONIFY, PIXAR))
    model = opened(add_model(bundle, tmp_path, Model("toons", loading=HOW)), generator="toonify")
    session = load(bundle, generator="toonify", **HOW)
    (response,) = model.execute([InferenceRequest([pixels(photo(1))], OUTPUTS, {"steps": 2})])
    found, expected = arrays(response), session.invert(photo(1), steps=2)
    check(found, expected)
    assert Inversion.from_bytes(found["inversion"][0].tobytes()).method == "hyperstyle+toonify"
    assert (found["image"][0] != load(bundle, **HOW).invert(photo(1), steps=2).image).any()
    with pytest.raises(BundleError, match="has no generator anime"):
        opened(tmp_path / "toons", generator="anime")


def test_a_model_that_cannot_be_loaded_says_why(folder: Path, toys: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BackendError):
        opened(folder, kind="GPU")  # a device's number, for a backend on the CPU
    other = add_model(toys(), tmp_path, Model("other"))
    (other / "1" / "model.bundle" / "bundle.json").write_text("{}")
    with pytest.raises(BundleError):
        opened(other)


def test_labels_have_no_l2(toys: Callable[..., Path], tmp_path: Path) -> None:
    bundle = toys("psp", kind="labels")
    assert not read_manifest(bundle).image.comparable
    model = opened(add_model(bundle, tmp_path, Model("labels", loading=HOW)))
    picture = np.full((32, 32, 3), 2, np.uint8)
    (response,) = model.execute([InferenceRequest([pixels(picture)], ("image", "l2"))])
    assert arrays(response)["l2"].shape == (1, 0)
