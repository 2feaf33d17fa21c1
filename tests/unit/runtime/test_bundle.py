"""Bundles from strangers: the manifest is read strictly, paths stay inside, and every byte is as it was exported."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.bundle.reader import Bundle, read_manifest
from hyperstyle_deploy.runtime.manifest.manifest import ImageSpec, Manifest
from hyperstyle_deploy.runtime.methods import METHODS, method_of
from hyperstyle_deploy.tests.hostile_bundles import FIELDS, Hostile, at, hostile_bundles, hostile_constants, raw
from hyperstyle_deploy.tests.small_bundle import constants_of, make_small_bundle, small_manifest, with_graphs

if TYPE_CHECKING:
    from hyperstyle_deploy.tests.small_bundle import SmallBundle


def test_a_valid_bundle_opens(small_bundle: "SmallBundle") -> None:
    bundle = Bundle.open(str(small_bundle.path))
    manifest = bundle.manifest
    assert (manifest.image, manifest.generator.styles) == (ImageSpec("photo", 3, 32, 32, (0, 32)), 8)
    assert [layer.index for layer in manifest.tuned] == [0, 2, 5, 7]
    assert bundle.graph("encoder").read_bytes().endswith(b"encoder")
    np.testing.assert_array_equal(bundle.constants()["weight.conv1"], np.ones((8, 8, 3, 3), np.float32), strict=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_bundle_of_every_method_opens(tmp_path: Path, method: str) -> None:
    assert type(Bundle.open(make_small_bundle(tmp_path / "bundle", method).path).method) is METHODS[method]


@pytest.mark.parametrize("options", [{"separable": True}, {"encoder_steps": 5}])
def test_the_forms_of_hyperstyle_open(tmp_path: Path, options: dict[str, Any]) -> None:
    bundle = Bundle.open(make_small_bundle(tmp_path / "bundle", **options).path)
    assert ("encoder_latent_avg" in bundle.constants()) == ("encoder_steps" in options)


def test_the_manifest_is_written_as_it_is_read(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert json.loads(json.dumps(Manifest.from_json(document).to_json())) == document


def test_the_fields_in_the_hostile_bundles_are_those_of_the_schema(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert {place: set(at(document, place)) for place in FIELDS} == {place: set(FIELDS[place]) for place in FIELDS}


@pytest.mark.parametrize("kind", ["sketch", "labels"])
def test_psp_takes_drawings_and_label_maps(tmp_path: Path, kind: str) -> None:
    manifest = small_manifest("psp")
    image = dataclasses.replace(manifest.image, kind=kind, channels={"sketch": 1, "labels": 19}[kind])
    method_of(with_graphs(dataclasses.replace(manifest, image=image)))


def test_schema_1_is_refused_and_told_to_export_again(small_bundle: "SmallBundle") -> None:
    document = {"schema_version": 1, "method": "hyperstyle", "default_steps": 5, "separable": False}
    with pytest.raises(BundleError, match=r"another schema version.*Got: 1.*Expected: 2.*Export the checkpoint again"):
        Bundle.open(small_bundle.write(document))


@pytest.mark.parametrize("hostile", [pytest.param(case, id=case.name) for case in hostile_bundles()])
def test_a_hostile_bundle_is_refused(tmp_path: Path, hostile: Hostile) -> None:
    bundle = hostile.write(tmp_path / "bundle")
    with pytest.raises(BundleError, match=f"(?s){hostile.match}"):
        Bundle.open(bundle.path)


def test_a_file_that_cannot_be_read_is_refused(small_bundle: "SmallBundle", monkeypatch: pytest.MonkeyPatch) -> None:
    def no_access(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    manifest = read_manifest(small_bundle.path)
    monkeypatch.setattr(os, "open", no_access)
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
    ("precision", "dtype", "one"), [("float16", np.float16, np.float16(1)), ("bfloat16", np.uint16, np.uint16(0x3F80))]
)
def test_constants_come_in_the_bundles_precision(
    small_bundle: "SmallBundle", precision: str, dtype: type, one: np.generic
) -> None:
    document = reduced(small_bundle, precision)
    arrays = {
        name: np.full(array.shape, one) if name.startswith(("weight.", "noise.")) else array
        for name, array in constants_of(Manifest.from_json(document)).items()
    }
    assert arrays["weight.conv1"].dtype == dtype
    content = stored(arrays)
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", content)
    constants = Bundle.open(small_bundle.write(document)).constants()
    np.testing.assert_array_equal(constants["weight.conv1"], np.full((8, 8, 3, 3), one), strict=True)
    np.testing.assert_array_equal(constants["energy.conv1"], np.ones((8, 8), np.float32), strict=True)


def reduced(bundle: "SmallBundle", precision: str) -> Any:
    """The manifest with weights and noises in 16 bits."""
    manifest = dataclasses.replace(Manifest.from_json(bundle.document()), precision=precision)
    return json.loads(json.dumps(with_graphs(manifest).to_json()))


def stored(arrays: dict[str, np.ndarray]) -> bytes:
    """A safetensors file, in which uint16 stands for the bits of bfloat16."""
    names, entries, body = {"float32": "F32", "float16": "F16", "uint16": "BF16"}, {}, b""
    for name, array in arrays.items():
        place = [len(body), len(body) + array.nbytes]
        entries[name] = {"dtype": names[array.dtype.name], "shape": list(array.shape), "data_offsets": place}
        body += array.tobytes()
    return raw(json.dumps(entries), body)


def test_constants_of_another_precision_or_shape_or_none_are_named(small_bundle: "SmallBundle") -> None:
    arrays = constants_of(Bundle.open(small_bundle.path).manifest)
    arrays["weight.conv1"] = arrays["weight.conv1"].astype(np.float16)
    arrays["noise.convs.1"] = arrays["noise.convs.1"][:, :, :4]
    del arrays["energy.convs.0"]
    document = small_bundle.document()
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", stored(arrays))
    bundle = Bundle.open(small_bundle.write(document))
    with pytest.raises(BundleError) as caught:
        bundle.constants()
    for problem in ("weight.conv1 F16", "noise.convs.1 F32 [1, 1, 4, 8] for F32 [1, 1, 8, 8]", "no energy.convs.0"):
        assert problem in str(caught.value)


@pytest.mark.parametrize("backend", available())
def test_a_cpu_backend_refuses_bfloat16_and_names_what_runs_it(small_bundle: "SmallBundle", backend: str) -> None:
    bundle = Bundle.open(small_bundle.write(reduced(small_bundle, "bfloat16")))
    with pytest.raises(BackendError, match=f"{backend} cannot run a bfloat16 bundle.*TensorRT runs it.*fp16"):
        open_backend(backend, bundle, Options())


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in hostile_constants()])
def test_constants_that_are_not_float32_tensors_are_refused(small_bundle: "SmallBundle", content: bytes) -> None:
    document = small_bundle.document()
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", content)
    bundle = Bundle.open(small_bundle.write(document))
    with pytest.raises(BundleError):
        bundle.constants()
