"""OpenVINO gets what was checked: a file that its own reader takes for its own format is refused before it."""

import re
from pathlib import Path

import numpy as np
import pytest

from hyperstyle_deploy.errors import BundleError
from hyperstyle_deploy.runtime.session import load
from hyperstyle_deploy.tests.toy_bundle import ToyBundle

openvino = pytest.importorskip("openvino")


def both(folder: Path) -> bytes:
    """An encoder that is sound protobuf and, by comments around the protobuf's own bytes, sound XML of OpenVINO's."""
    from openvino import opset13

    image = opset13.parameter([1, 3, 32, 32], name="image")
    weight = opset13.constant(np.ones((3, 64), np.float32))
    product = opset13.matmul(opset13.reduce_mean(image, [2, 3]), weight, False, False)
    codes = opset13.reshape(product, [1, 8, 8], False)
    image.output(0).set_names({"image"})
    codes.output(0).set_names({"codes"})
    openvino.save_model(openvino.Model([codes], [image], "a"), folder / "own.xml", False)
    text = (folder / "own.xml").read_bytes()
    inner = text[text.index(b">", text.index(b"<net")) + 1 : text.rindex(b"</net>")]
    content = b'\n <net name="a" version="11"><!-- '  # field 1, 32 bytes
    for piece in [*re.findall(rb"<[^>]*>[^<]*", inner), b"</net>"]:
        body = b"-->" + piece.strip() + b"<!--"
        size = [len(body)] if len(body) < 128 else [len(body) & 127 | 128, len(body) >> 7]
        content += b"z" + bytes(size) + body  # field 15
    return content + b"z\x03-->"


def test_what_openvino_would_take_for_its_own_format_is_refused(toy_bundle: ToyBundle, tmp_path: Path) -> None:
    content = both(tmp_path)
    (tmp_path / "own.onnx").write_bytes(content)
    own = openvino.Core().read_model(tmp_path / "own.onnx")  # which finds own.bin by itself
    assert {own.inputs[0].get_any_name(), own.outputs[0].get_any_name()} == {"image", "codes"}
    toy_bundle.replace("encoder.onnx", content)
    (toy_bundle.path / "encoder.bin").write_bytes((tmp_path / "own.bin").read_bytes())
    with pytest.raises(BundleError, match="field 1 in a model"):  # no tag of ONNX's is a letter that XML begins with
        load(toy_bundle.path, backend="openvino")
