"""Files that a user hands to `inspect` are looked at before anything is asked for, and described or refused by name."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.numpy import save_file

from hyperstyle_deploy.cli import main
from hyperstyle_deploy.runtime.inspection import content_of, describe
from hyperstyle_deploy.runtime.session import load

Toys = Callable[..., Path]
PHOTO = np.zeros((40, 40, 3), np.uint8)


def inspect(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_an_inversion_is_described(toys: Toys, tmp_path: Path) -> None:
    path = tmp_path / "photo.inversion"
    load(toys(), backend="onnxruntime").invert(PHOTO, steps=2).save(path)
    document = json.loads(inspect(path, "--json").stdout)
    assert (document["kind"], document["method"], document["steps"]) == ("inversion", "hyperstyle", 2)
    assert document["arrays"] == {"codes": [8, 8], "offset_codes": [4, 5]}
    assert len(document["loop_l2"]) == 3
    assert "codes: [8, 8]" in inspect(path).stdout


def test_a_bundles_graph_is_described_by_its_manifest(toys: Toys) -> None:
    text = inspect(toys() / "encoder.onnx").stdout
    assert "stage        encoder" in text
    assert "image  float32 ['batch', 3, 32, 32]" in text


def test_another_graph_is_described_by_onnx(toys: Toys, tmp_path: Path) -> None:
    (tmp_path / "alone.onnx").write_bytes((toys() / "encoder.onnx").read_bytes())
    found = describe(tmp_path / "alone.onnx")
    assert found is not None
    assert found.facts["inputs"][0] == {"name": "image", "dtype": "float", "shape": ["batch", 3, 32, 32]}
    assert found.facts["nodes"] > 1


def test_constants_are_described(toys: Toys) -> None:
    document = json.loads(inspect(toys() / "generator.safetensors", "--json").stdout)
    assert document["kind"] == "safetensors file"
    assert document["tensors"]["weight.conv1"] == [8, 8, 3, 3]


def test_an_engine_without_its_record_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "encoder-1.engine").write_bytes(b"vtrt" + bytes(600))
    assert "none beside it" in inspect(tmp_path / "encoder-1.engine").stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.pt", "nothing there"),
        ("folder", "no bundle.json in it"),
        ("page.pt", "a web page"),
        ("photo.jpg", "a JPEG picture"),
        ("photo.png", "a PNG picture"),
        ("empty.pt", "an empty file"),
        ("text.pt", "expected: a zip file"),
        ("pipe", "a pipe"),
        ("cut.inversion", "header that cannot be read"),
    ],
)
def test_other_files_are_named_without_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "folder").mkdir()
    (tmp_path / "page.pt").write_text("\n<!DOCTYPE html><html></html>")
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg")
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_text("no checkpoint")
    os.mkfifo(tmp_path / "pipe")
    save_file({"codes": np.zeros(4, np.float32)}, tmp_path / "whole")
    content = bytearray((tmp_path / "whole").read_bytes())
    content[12:14] = b"\xff\xff"
    (tmp_path / "cut.inversion").write_bytes(content)
    result = inspect(tmp_path / name)
    assert result.exit_code == 2
    assert said.lower() in result.stderr.lower()
    assert "torch is not installed" not in result.stderr


def test_a_checkpoint_needs_pytorch(tmp_path: Path) -> None:
    assert content_of(Path(__file__)) == "a file of no known kind"
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04" + bytes(40))
    assert content_of(tmp_path / "x.pt") == "a zip file"
