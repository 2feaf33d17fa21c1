"""The Open Inference Protocol: health, metadata, and inference in JSON and in raw bytes; and by Triton's own client."""

import gc
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.serving.http.service import Service
from hyperstyle_deploy.runtime.serving.http.settings import Settings
from hyperstyle_deploy.runtime.session import Session
from hyperstyle_deploy.tests.unit.runtime.serving.conftest import Gated, Running, picture, running
from hyperstyle_deploy.tests.unit.runtime.serving.test_http import direct

INFER = "/v2/models/toy/infer"


def tensors(answer: Any) -> dict[str, np.ndarray]:
    types = {"UINT8": np.uint8, "FP32": np.float32, "FP64": np.float64}
    return {o["name"]: np.asarray(o["data"], types[o["datatype"]]).reshape(o["shape"]) for o in answer["outputs"]}


def pixels_input(seed: int) -> dict[str, Any]:
    array = np.asarray(Image.open(io.BytesIO(picture(seed))))
    return {"name": "pixels", "datatype": "UINT8", "shape": list(array.shape), "data": array.ravel().tolist()}


def test_health_and_metadata(served: Running) -> None:
    get = served.client.get
    assert get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/toy/ready", "/v2/models/toy/versions/1/ready"):
        assert get(path).status_code == 200
    document = get("/v2/models/toy").json()
    assert (document["name"], document["versions"]) == ("toy", ["1"])
    assert {each["name"] for each in document["outputs"]} == {"image", "codes", "offset_codes", "l2", "inversion"}
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/toy/versions/2"):
        assert get(path).status_code == 404


def test_inference_is_the_sessions(served: Running, session: Session) -> None:
    body = {"id": "7", "parameters": {"steps": 2}, "inputs": [pixels_input(1)]}
    answer = served.client.post(INFER, json=body).json()
    expected, found = direct(session, picture(1), 2), tensors(answer)
    assert (answer["model_name"], answer["id"]) == ("toy", "7")
    assert np.array_equal(found["image"], expected.image)
    assert np.array_equal(found["codes"], expected.codes)
    assert np.array_equal(found["offset_codes"], expected.offset_codes)
    assert tuple(found["l2"]) == expected.l2
    assert Inversion.from_bytes(found["inversion"].tobytes()).steps == 2


def test_files_and_answers_as_raw_bytes(served: Running, session: Session) -> None:
    raw = len(picture(2)).to_bytes(4, "little") + picture(2)
    file = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    asked = [{"name": "image", "parameters": {"binary_data": True}}, {"name": "l2"}]
    text = json.dumps({"inputs": [file], "outputs": asked}).encode()
    header = {"Inference-Header-Content-Length": str(len(text))}
    answer = served.client.post(INFER, content=text + raw, headers=header)
    length = int(answer.headers["inference-header-content-length"])
    image, l2 = json.loads(answer.content[:length])["outputs"]
    expected = direct(session, picture(2))
    assert answer.content[length:] == expected.image.tobytes()
    assert (image["shape"], tuple(l2["data"])) == (list(expected.image.shape), expected.l2)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [1]},
        {"inputs": [{"name": "pixels"}]},
        {"inputs": [{"name": "path", "datatype": "BYTES", "shape": [1], "data": ["/etc/passwd"]}]},
        {"inputs": [{"name": "file", "datatype": "BYTES", "shape": [1], "data": ["/etc/passwd"]}]},
        {"inputs": [{"name": "file", "datatype": "BYTES", "shape": [1], "data": [1]}]},
        {"inputs": [{"name": "file", "datatype": "BYTES", "shape": [2], "data": ["a"]}]},
        {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [9, 9, 3], "data": [0]}]},
        {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 3], "data": [0, 1, 256]}]},
        {"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [0, 1, 3], "data": []}]},
        {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 1, 3], "data": [0, 1, 2]}]},
        {"inputs": [{"name": "pixels", "datatype": "INT7", "shape": [1, 1, 3], "data": [0, 1, 2]}]},
        {"inputs": [pixels_input(1), pixels_input(1)]},
        {"inputs": [{**pixels_input(1), "parameters": {"binary_data_size": 10**9}}]},
        {"inputs": [pixels_input(1)], "outputs": [{"name": "secret"}]},
        {"inputs": [pixels_input(1)], "outputs": [{"name": ["image"]}]},
        {"inputs": [pixels_input(1)], "outputs": [{"name": "image"}, {"name": "image"}]},
        {"inputs": [pixels_input(1)], "outputs": "image"},
        {"inputs": [{"name": str(number), "datatype": "UINT8", "shape": [0], "data": []} for number in range(3)]},
        {"inputs": [pixels_input(1)], "parameters": {"steps": "5"}},
        {"inputs": [pixels_input(1)], "parameters": {"steps": 10**6}},
        {"inputs": [pixels_input(1)], "parameters": {"until_gain": 2}},
    ],
)
def test_what_is_no_inference_is_refused(served: Running, body: dict[str, Any]) -> None:
    answer = served.client.post(INFER, json=body)
    assert answer.status_code == 400, answer.text
    assert "error" in answer.json()


def test_bytes_that_do_not_fit_are_refused(served: Running) -> None:
    text = json.dumps({"inputs": [pixels_input(1)]}).encode()
    assert served.client.post(INFER, content=text, headers={"Inference-Header-Content-Length": "9"}).status_code == 400
    assert served.client.post(INFER, content=text, headers={"Inference-Header-Content-Length": "-1"}).status_code == 400
    longer = {"Inference-Header-Content-Length": str(len(text))}
    assert served.client.post(INFER, content=text + b"more", headers=longer).status_code == 400


def test_bytes_without_end_are_refused_soon(served: Running) -> None:
    """Half a million strings of no length where one was to be."""
    for shape in ([1], [1 << 40]):
        file = {"name": "file", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": 1 << 21}}
        text = json.dumps({"inputs": [file]}).encode()
        started = time.monotonic()
        header = {"Inference-Header-Content-Length": str(len(text))}
        assert served.client.post(INFER, content=text + bytes(1 << 21), headers=header).status_code == 400
        assert time.monotonic() - started < 10


def test_what_waits_is_small(gated: Gated) -> None:
    """A photo in the JSON's lists is not kept once it is brought to the network's size."""
    size = 201 * 203 * 3
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [201, 203, 3], "data": [1] * size}
    body = json.dumps({"inputs": [pixels], "outputs": [{"name": "l2"}]}).encode()
    del pixels
    with running(Service({"toy": lambda: gated}, Settings())) as found, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(found.client.post, INFER, content=body)
        found.wait_until(lambda: gated.begun == [1])
        assert not [each for each in gc.get_objects() if type(each) is list and len(each) == size]
        gated.open()
        assert asked.result().status_code == 200


def test_tritons_client_understands_it(served: Running, session: Session) -> None:
    http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    base = served.client.base_url
    client = http.InferenceServerClient(f"{base.host}:{base.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.get_model_metadata("toy")["platform"] == "hyperstyle_deploy"
    expected = direct(session, picture(3), 1)
    for binary in (True, False):
        given = http.InferInput("pixels", [40, 40, 3], "UINT8")
        given.set_data_from_numpy(np.asarray(Image.open(io.BytesIO(picture(3)))), binary_data=binary)
        asked = [http.InferRequestedOutput(name, binary_data=binary) for name in ("image", "codes")]
        answer = client.infer("toy", [given], outputs=asked, parameters={"steps": 1})
        assert np.array_equal(answer.as_numpy("image"), expected.image)
        assert np.array_equal(answer.as_numpy("codes"), expected.codes)
    file = http.InferInput("file", [1], "BYTES")
    file.set_data_from_numpy(np.array([picture(3)], np.object_))
    answer = client.infer("toy", [file], parameters={"steps": 1})
    assert np.array_equal(answer.as_numpy("image"), expected.image)
    with pytest.raises(Exception, match="pixels"):
        client.infer("toy", [http.InferInput("photo", [1], "BYTES").set_data_from_numpy(np.array([b"x"], np.object_))])
