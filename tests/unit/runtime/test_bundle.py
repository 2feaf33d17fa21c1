"""Bundles from strangers: the manifest is read strictly, paths stay inside, and every byte is as it was exported."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.manifest.layers import layer_table
from hyperstyle_deploy.runtime.manifest.manifest import GRAPHS, ImageSpec, Manifest
from hyperstyle_deploy.runtime.bundle.reader import Bundle, read_manifest
from hyperstyle_deploy.tests.hostile_bundles import FIELDS, Hostile, at, hostile_bundles, hostile_constants, raw

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.small_bundle import SmallBundle


def test_a_valid_bundle_opens(small_bundle: "SmallBundle") -> None:
    bundle = Bundle.open(str(small_bundle.path))
    manifest = bundle.manifest
    assert (manifest.image, manifest.n_styles) == (ImageSpec(256, 256, 256, (0, 256)), 14)
    assert [layer.index for layer in manifest.tuned] == [0, 2, 3]
    assert set(manifest.graphs) == set(GRAPHS)
    assert bundle.graph("encoder").read_bytes().endswith(b"encoder")
    np.testing.assert_array_equal(bundle.constants()["weight.conv1"], np.ones((4, 4), np.float32), strict=True)


def test_the_manifest_is_written_as_it_is_read(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert json.loads(json.dumps(Manifest.from_json(document).to_json())) == document


def test_the_fields_in_the_hostile_bundles_are_those_of_the_schema(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert {place: set(at(document, place)) for place in FIELDS} == {place: set(FIELDS[place]) for place in FIELDS}


@pytest.mark.parametrize("size", [256, 512, 1024])
@pytest.mark.parametrize("separable", [False, True])
def test_the_layers_of_every_generator_are_accepted(small_bundle: "SmallBundle", size: int, separable: bool) -> None:
    document = small_bundle.document()
    document["image"].update(size=size, rows=[0, size])
    document["separable"] = separable
    document["layers"] = [vars(layer) for layer in layer_table(size, range(30), separable)]
    assert Bundle.open(small_bundle.write(document)).manifest.layers == layer_table(size, range(30), separable)


def test_no_layer_needs_to_be_tuned(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    document["layers"] = [vars(layer) for layer in layer_table(256)]
    assert Bundle.open(small_bundle.write(document)).manifest.tuned == ()


@pytest.mark.parametrize("hostile", [pytest.param(case, id=case.name) for case in hostile_bundles()])
def test_a_hostile_bundle_is_refused(small_bundle: "SmallBundle", hostile: Hostile) -> None:
    hostile.spoil(small_bundle)
    with pytest.raises(BundleError, match=f"(?s){hostile.match}"):
        Bundle.open(small_bundle.path)


def test_a_file_that_cannot_be_read_is_refused(small_bundle: "SmallBundle", monkeypatch: pytest.MonkeyPatch) -> None:
    def no_access(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    manifest = read_manifest(small_bundle.path)
    monkeypatch.setattr(Path, "open", no_access)
    monkeypatch.setattr(Path, "read_bytes", no_access)
    with pytest.raises(BundleError, match="Permission denied"):
        read_manifest(small_bundle.path)
    with pytest.raises(BundleError, match="Permission denied"):
        Bundle(small_bundle.path, manifest).check_files()


@pytest.mark.parametrize("name", ["missing", "a_file", "empty_folder", "n" * 5000, "\ud800"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").write_text("a file")
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(BundleError):
        Bundle.open(tmp_path / name)


def test_a_link_to_a_bundle_is_a_bundle(small_bundle: "SmallBundle") -> None:
    link = small_bundle.path.with_name("link")
    link.symlink_to(small_bundle.path)
    assert Bundle.open(link).manifest == Bundle.open(small_bundle.path).manifest


@pytest.mark.parametrize(
    ("precision", "stored", "one", "read"),
    [("float16", "F16", b"\0\x3c", np.float16(1)), ("bfloat16", "BF16", b"\x80\x3f", np.uint16(0x3F80))],
)
def test_constants_come_in_the_bundles_precision(
    small_bundle: "SmallBundle", precision: str, stored: str, one: bytes, read: np.generic
) -> None:
    document = small_bundle.document()
    document["precision"] = precision
    entries = f'"weight.conv1":{{"dtype":"{stored}","shape":[1,2],"data_offsets":[0,4]}}'
    energy = '"energy.conv1":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}'
    content = raw(f"{{{entries},{energy}}}", one + one + np.float32(3).tobytes())
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", content)
    constants = Bundle.open(small_bundle.write(document)).constants()
    np.testing.assert_array_equal(constants["weight.conv1"], np.array([[read, read]]), strict=True)
    np.testing.assert_array_equal(constants["energy.conv1"], np.array([3], np.float32), strict=True)
    document["precision"] = "float32"
    with pytest.raises(BundleError, match=rf"weight.conv1 {stored} for F32"):
        Bundle.open(small_bundle.write(document)).constants()


@pytest.mark.parametrize("backend", available())
def test_a_cpu_backend_refuses_bfloat16_and_names_what_runs_it(small_bundle: "SmallBundle", backend: str) -> None:
    document = small_bundle.document()
    document["precision"] = "bfloat16"
    bundle = Bundle.open(small_bundle.write(document))
    with pytest.raises(BackendError, match=f"{backend} cannot run a bfloat16 bundle.*TensorRT runs it.*fp16"):
        open_backend(backend, bundle, Options())


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in hostile_constants()])
def test_constants_that_are_not_float32_tensors_are_refused(small_bundle: "SmallBundle", content: bytes) -> None:
    document = small_bundle.document()
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", content)
    bundle = Bundle.open(small_bundle.write(document))
    with pytest.raises(BundleError):
        bundle.constants()
