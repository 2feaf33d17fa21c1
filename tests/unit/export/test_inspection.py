"""What `inspect` says of every method's file, without reading its numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperstyle_deploy.export import checkpoint as reading
from hyperstyle_deploy.export import tensors
from hyperstyle_deploy.export.inspection import inspect
from hyperstyle_deploy.tests.unit.export.conftest import Written


@pytest.mark.parametrize(
    ("method", "options", "encoder", "looks_at"),
    [
        ("psp", {}, "GradualStyleEncoder", "photo, 64x64"),
        ("psp", {"labels": 1}, "GradualStyleEncoder", "sketch, 64x64"),
        ("psp", {"labels": 19}, "GradualStyleEncoder", "19 labels, 64x64"),
        ("e4e", {"dataset_type": "cars"}, "Encoder4Editing", "photo, 64x48"),
        ("restyle-psp", {"encoder_type": "ResNetBackboneEncoder"}, "ResNetBackboneEncoder", "photo, 64x64"),
        ("restyle-e4e", {}, "ProgressiveBackboneEncoder", "photo, 64x64"),
        ("hyperstyle", {}, None, "photo, 64x64"),
    ],
)
def test_a_file_is_described(
    written: Written, method: str, options: dict[str, Any], encoder: str | None, looks_at: str
) -> None:
    path = written(method, **options)[0]
    found = inspect(path).to_json()
    assert (found["method"], found["encoder"], found["input"]) == (method, encoder, looks_at)
    assert (found["size"], found["styles"], found["width"]) == (64, 10, 32)
    assert found["channels"] == [28, 28, 28, 20, 12]
    assert found["domain"] == ("cars" if "dataset_type" in options else "faces")
    assert found["latent_avg"] == [10, 32]
    assert found["sha256"] is None
    assert found["options"]["encoder_type"]
    json.dumps(found)
    if method == "hyperstyle":
        assert found["tuned_layers"] == [0, 2, 3, 5, 6, 8, 9, 11, 12]
        assert found["hypernetwork"] == "shared"
        assert found["export"] == f"hyperstyle-deploy export {path} --w-encoder W_ENCODER.pt -o BUNDLE"
        assert "--w-encoder" in found["needs"][0]
    else:
        assert found["export"] == f"hyperstyle-deploy export {path} -o BUNDLE"
        assert found["needs"] == []


def test_a_w_encoders_file_is_told_where_it_belongs(written: Written) -> None:
    path = written("hyperstyle")[1]
    found = inspect(path)
    assert (found.method, found.networks.encoder, found.networks.width) == ("w-encoder", "WEncoder", 32)
    assert len(found.needs) == 1
    assert found.export == f"hyperstyle-deploy export HYPERSTYLE.pt --w-encoder {path} -o BUNDLE"


def test_parts_are_counted_once_though_blocks_repeat_them(written: Written) -> None:
    parts = {part.name: part for part in inspect(written("hyperstyle")[0]).parts}
    shared = parts["hypernet: shared hypernetwork"]
    assert shared.parameters == 26 * 28 * 9 + 28 * 9 + 22 * 28 * 26 + 28 * 26
    assert shared.tensors == 4


def test_numbers_and_checksum_are_read_only_when_asked_for(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of 1.4 GB is described in the time of its directory."""
    path = written("hyperstyle")[0]

    def read(*_: object) -> Any:
        raise AssertionError("every byte was read")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "sha256_of", read)
        patch.setattr(tensors, "_is_finite", lambda tensor: tensor.numel() < 1000 or read())
        inspect(path)
    assert len(inspect(path, every_byte=True).sha256 or "") == 64


def changed(path: Path, tmp_path: Path, change: Any) -> Path:
    content = torch.load(path)
    change(content)
    torch.save(content, tmp_path / "changed.pt")
    return tmp_path / "changed.pt"


def test_flaws_are_told_and_the_rest_is_described(written: Written, tmp_path: Path) -> None:
    def damage(content: dict[str, Any]) -> None:
        del content["state_dict"]["decoder.conv1.conv.weight"]
        content["state_dict"]["encoder.body.0.res_layer.1.weight"][0] = float("nan")

    path = changed(written("psp")[0], tmp_path, damage)
    found = inspect(path)
    assert found.networks.size == 64
    assert ["missing decoder.conv1.conv.weight" in need for need in found.needs] == [True]
    assert "not finite encoder.body.0.res_layer.1.weight" in inspect(path, every_byte=True).needs[0]
    assert found.export is not None


def test_a_missing_average_is_no_flaw_where_export_makes_one(written: Written, tmp_path: Path) -> None:
    path = changed(written("restyle-e4e")[0], tmp_path, lambda content: content.pop("latent_avg"))
    assert inspect(path).needs == []


def test_an_unknown_encoder_is_told(written: Written, tmp_path: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        content["opts"]["encoder_type"] = "Encoder5Editing"

    found = inspect(changed(written("psp")[0], tmp_path, rename))
    assert (found.method, found.export) == ("unknown", None)
    assert "unknown class" in found.needs[0]
    assert sum(part.tensors for part in found.parts) > 100


def test_options_of_an_unsupported_value_are_told(written: Written, tmp_path: Path) -> None:
    def resize(content: dict[str, Any]) -> None:
        content["opts"]["output_size"] = 96

    found = inspect(changed(written("hyperstyle")[0], tmp_path, resize))
    assert found.method == "hyperstyle"
    assert "output_size is not supported" in found.needs[0]


def test_options_that_are_not_read_are_told_as_what_they_are(written: Written, tmp_path: Path) -> None:
    def place(content: dict[str, Any]) -> None:
        content["opts"] |= {"exp_dir": Path("/experiments/1")}

    found = inspect(changed(written("psp")[0], tmp_path, place))
    assert found.needs == []
    assert found.options["exp_dir"] == "a path"
