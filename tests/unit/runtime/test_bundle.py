"""Bundles from strangers: the manifest is read strictly, paths stay inside, and every byte is as it was exported."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save

from hyperstyle_deploy.errors import BackendError, BundleError
from hyperstyle_deploy.runtime.backends import Options, available, open_backend
from hyperstyle_deploy.runtime.bundle import MAX_MANIFEST_BYTES, Bundle, read_manifest
from hyperstyle_deploy.runtime.layers import layer_table
from hyperstyle_deploy.runtime.manifest import GRAPHS, SCHEMA_VERSION, ImageSpec, Manifest

if TYPE_CHECKING:
    from .conftest import SmallBundle

Place = tuple[str | int, ...]

#: One manifest object of every kind: where it is in the document.
OBJECTS: tuple[Place, ...] = (
    (),
    ("image",),
    ("layers", 0),
    ("graphs", "encoder"),
    ("graphs", "encoder", "inputs", 0),
    ("graphs", "encoder", "outputs", 0),
    ("files", "encoder.onnx"),
)
FIELDS = {
    (): (
        *("schema_version", "method", "domain", "model", "precision", "default_steps", "separable", "image", "layers"),
        *("constants", "graphs", "files", "provenance"),
    ),
    ("image",): ("size", "input_height", "input_width", "rows", "value_range"),
    ("layers", 0): (
        *("index", "name", "in_channels", "out_channels", "kernel", "resolution", "style", "up", "offset"),
    ),
    ("graphs", "encoder"): ("file", "opset", "inputs", "outputs"),
    ("graphs", "encoder", "inputs", 0): ("name", "dtype", "shape"),
    ("graphs", "encoder", "outputs", 0): ("name", "dtype", "shape"),
    ("files", "encoder.onnx"): ("bytes", "sha256"),
}
PLACES = [(*place, field) for place, fields in FIELDS.items() for field in fields]
# Values of every JSON type; a field must refuse those that are not of its own.
VALUES: tuple[Any, ...] = (None, True, 7, 7.5, "text", [], ["text"], {}, {"key": 1})


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def label(place: object) -> str | None:
    return ".".join(map(str, place)) or "top" if isinstance(place, tuple) else None


def test_a_valid_bundle_opens(small_bundle: "SmallBundle") -> None:
    bundle = Bundle.open(small_bundle.path)
    manifest = bundle.manifest
    assert (manifest.image, manifest.n_styles) == (ImageSpec(256, 256, 256, (0, 256)), 14)
    assert [layer.index for layer in manifest.tuned] == [0, 2, 3]
    assert set(manifest.graphs) == set(GRAPHS)
    assert bundle.graph("encoder").read_bytes().endswith(b"encoder")
    np.testing.assert_array_equal(bundle.constants()["weight.conv1"], np.ones((4, 4), np.float32), strict=True)


def test_the_manifest_is_written_as_it_is_read(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert json.loads(json.dumps(Manifest.from_json(document).to_json())) == document


def test_the_fields_in_this_test_are_those_of_the_schema(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    assert {place: set(at(document, place)) for place in OBJECTS} == {place: set(FIELDS[place]) for place in OBJECTS}


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        (0, "Export the checkpoint again"),
        (SCHEMA_VERSION + 1, "Upgrade hyperstyle-deploy"),
        (10**9, "Upgrade hyperstyle-deploy"),
        ("2", "Export the checkpoint again"),
        (1.5, "Export the checkpoint again"),
        ([1], "Export the checkpoint again"),
    ],
)
def test_another_schema_version_names_both_and_the_cure(
    small_bundle: "SmallBundle", version: object, hint: str
) -> None:
    path = small_bundle.write(small_bundle.document() | {"schema_version": version})
    with pytest.raises(BundleError, match="another schema version") as caught:
        Bundle.open(path)
    assert f"Got: {version}. Expected: {SCHEMA_VERSION}." in str(caught.value)
    assert hint in str(caught.value)


def test_a_manifest_of_another_version_may_have_any_fields(small_bundle: "SmallBundle") -> None:
    with pytest.raises(BundleError, match=f"Got: 99. Expected: {SCHEMA_VERSION}. Upgrade"):
        Bundle.open(small_bundle.write({"schema_version": 99, "parts": []}))


def test_a_missing_schema_version_is_said_to_be_missing(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    del document["schema_version"]
    with pytest.raises(BundleError, match=f"Got: none. Expected: {SCHEMA_VERSION}."):
        Bundle.open(small_bundle.write(document))


@pytest.mark.parametrize("place", [place for place in PLACES if place != ("schema_version",)], ids=label)
def test_a_missing_field_is_named(small_bundle: "SmallBundle", place: Place) -> None:
    document = small_bundle.document()
    del at(document, place[:-1])[place[-1]]
    with pytest.raises(BundleError, match=rf"missing \['{place[-1]}'\], unknown \[\]"):
        Bundle.open(small_bundle.write(document))


@pytest.mark.parametrize("place", OBJECTS, ids=label)
def test_an_unknown_field_is_named(small_bundle: "SmallBundle", place: Place) -> None:
    document = small_bundle.document()
    at(document, place)["surprise"] = 1
    with pytest.raises(BundleError, match=r"unknown \['surprise'\]"):
        Bundle.open(small_bundle.write(document))


def wrong_types() -> Iterator[tuple[Place, object]]:
    """Every field with values that JSON allows and the schema does not."""
    free_text = {("method",), ("domain",), ("model",), ("layers", 0, "name")}
    allowed: dict[Place, tuple[object, ...]] = {
        ("separable",): (True,),
        ("default_steps",): (7,),
        ("constants",): ([],),
        ("provenance",): ({}, {"key": 1}),
        ("graphs", "encoder", "opset"): (7,),
        ("files", "encoder.onnx", "bytes"): (7,),
        **{("graphs", "encoder", kind): ([],) for kind in ("inputs", "outputs")},
        **{("graphs", "encoder", kind, 0, "name"): ("text",) for kind in ("inputs", "outputs")},
        **{("graphs", "encoder", kind, 0, "shape"): ([], ["text"]) for kind in ("inputs", "outputs")},
        **dict.fromkeys(free_text, ("text",)),
    }
    for place in PLACES:
        for value in VALUES:
            if not any(value == good and type(value) is type(good) for good in allowed.get(place, ())):
                yield place, value


@pytest.mark.parametrize(("place", "value"), list(wrong_types()), ids=label)
def test_a_field_of_the_wrong_type_is_refused(small_bundle: "SmallBundle", place: Place, value: object) -> None:
    document = small_bundle.document()
    at(document, place[:-1])[place[-1]] = value
    with pytest.raises(BundleError):
        Manifest.from_json(document)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("image", "size"), 128),
        (("image", "size"), 2048),
        (("image", "size"), 1024),  # valid, but the layers are those of 256
        (("image", "input_height"), 0),
        (("image", "input_width"), 10**9),
        (("image", "rows"), [0, 257]),
        (("image", "rows"), [-1, 256]),
        (("image", "rows"), [128, 128]),
        (("image", "rows"), [0.0, 256.0]),
        (("image", "rows"), [0, 128, 256]),
        (("image", "value_range"), [0, 1]),
        (("image", "value_range"), [float("nan"), 1]),
        (("precision",), "fp16"),
        (("precision",), "float64"),
        (("default_steps",), 0),
        (("default_steps",), -5),
        (("layers",), []),
        (("layers", 0, "index"), 1),
        (("layers", 0, "in_channels"), -512),
        (("layers", 5, "out_channels"), 10**12),
        (("layers", 3, "offset"), "channel"),
        (("layers", 3, "offset"), "surprise"),
        (("layers", 4, "style"), 99),
        (("files", "encoder.onnx", "bytes"), -1),
        (("files", "encoder.onnx", "sha256"), "0" * 63),
        (("files", "encoder.onnx", "sha256"), "A" * 64),
        (("files", "encoder.onnx", "sha256"), "0" * 64 + "\n"),
        (("graphs", "encoder", "inputs", 0, "dtype"), "object"),
        (("graphs", "encoder", "inputs", 0, "dtype"), "float16"),  # in a bundle of float32
        (("graphs", "encoder", "inputs", 0, "shape"), [1, -1]),
        (("graphs", "encoder", "outputs", 0, "shape"), [0]),
        (("graphs", "encoder", "file"), "unlisted.onnx"),
        (("constants",), ["unlisted.safetensors"]),
    ],
    ids=label,
)
def test_a_value_out_of_range_is_refused(small_bundle: "SmallBundle", place: Place, value: object) -> None:
    document = small_bundle.document()
    at(document, place[:-1])[place[-1]] = value
    with pytest.raises(BundleError, match=r"bundle\.json: .* is wrong"):
        Bundle.open(small_bundle.write(document))


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_missing_graph_is_named(small_bundle: "SmallBundle", graph: str) -> None:
    document = small_bundle.document()
    del document["graphs"][graph]
    with pytest.raises(BundleError, match=f"no {graph}"):
        Bundle.open(small_bundle.write(document))


def test_layers_out_of_order_are_refused(small_bundle: "SmallBundle") -> None:
    document = small_bundle.document()
    document["layers"].reverse()
    with pytest.raises(BundleError, match="layers"):
        Bundle.open(small_bundle.write(document))


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


HOSTILE_NAMES = (
    "../secret",
    "sub/../../secret",
    "/etc/hostname",
    "..\\secret",
    "C:secret",
    "encoder.onnx\0",
    "",
    ".",
    "link",
    "hard",
    "missing",
    "n" * 5000,
    "\ud800",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("kind", ["files", "graphs", "constants"])
def test_a_hostile_path_is_refused(small_bundle: "SmallBundle", kind: str, name: str) -> None:
    (small_bundle.path.parent / "secret").write_bytes(b"graph encoder")
    (small_bundle.path / "link").symlink_to("encoder.onnx")
    (small_bundle.path / "hard").hardlink_to(small_bundle.path.parent / "secret")
    document = small_bundle.document()
    document["files"][name] = document["files"]["encoder.onnx"]  # its size and checksum are those of the secret
    if kind == "graphs":
        document["graphs"]["encoder"]["file"] = name
    elif kind == "constants":
        document["constants"] = [name]
    with pytest.raises(BundleError, match=r"path in the bundle|file of the bundle"):
        Bundle.open(small_bundle.write(document))


FILES = ("generator.safetensors", *(f"{stage}.onnx" for stage in GRAPHS))


@pytest.mark.parametrize("position", [0, -1], ids=["first byte", "last byte"])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_its_file_named(small_bundle: "SmallBundle", name: str, position: int) -> None:
    content = bytearray((small_bundle.path / name).read_bytes())
    content[position] ^= 1
    (small_bundle.path / name).write_bytes(content)
    with pytest.raises(BundleError, match="not the ones that were exported") as caught:
        Bundle.open(small_bundle.path)
    assert [other for other in FILES if other in str(caught.value)] == [name]


@pytest.mark.parametrize("change", [-1, 1], ids=["truncated", "longer"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_length_is_named(small_bundle: "SmallBundle", name: str, change: int) -> None:
    path = small_bundle.path / name
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(BundleError, match=f"{name}: {path.stat().st_size} bytes"):
        Bundle.open(small_bundle.path)


def test_all_damaged_files_are_named_at_once(small_bundle: "SmallBundle") -> None:
    for name in FILES:
        (small_bundle.path / name).write_bytes(b"")
    with pytest.raises(BundleError) as caught:
        Bundle.open(small_bundle.path)
    assert all(name in str(caught.value) for name in FILES)


@pytest.mark.parametrize("kind", ["missing", "folder", "symbolic link", "hard link"])
@pytest.mark.parametrize("name", [*FILES, "bundle.json"])
def test_what_is_no_file_of_its_own_is_refused(small_bundle: "SmallBundle", name: str, kind: str) -> None:
    path, elsewhere = small_bundle.path / name, small_bundle.path.parent / "elsewhere"
    path.rename(elsewhere)
    if kind == "folder":
        path.mkdir()
    elif kind == "symbolic link":
        path.symlink_to(elsewhere)
    elif kind == "hard link":
        path.hardlink_to(elsewhere)
    with pytest.raises(BundleError) as caught:
        Bundle.open(small_bundle.path)
    assert name in str(caught.value)


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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"<!DOCTYPE html>",
        b"\xff\xfe\x00",
        b"\x80\x81",
        b'{"schema_version": 1',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"schema_version": ' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "cut", "html", "utf-16", "not text", "cut later", "deep list", "deep object", "long number"],
)
def test_a_manifest_that_is_not_json_is_refused(small_bundle: "SmallBundle", content: bytes) -> None:
    (small_bundle.path / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match="is not JSON"):
        Bundle.open(small_bundle.path)


@pytest.mark.parametrize("document", [None, True, 1, "text", [], [{}]])
def test_a_manifest_that_is_no_object_is_refused(small_bundle: "SmallBundle", document: object) -> None:
    with pytest.raises(BundleError, match="Expected: an object"):
        Bundle.open(small_bundle.write(document))


def test_a_huge_manifest_is_not_even_read(small_bundle: "SmallBundle") -> None:
    os.truncate(small_bundle.path / "bundle.json", 1 << 40)
    with pytest.raises(BundleError, match=f"too large.*at most {MAX_MANIFEST_BYTES}"):
        Bundle.open(small_bundle.path)


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


def raw(header: str, body: bytes) -> bytes:
    """A safetensors file."""
    return len(header).to_bytes(8, "little") + header.encode() + body


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


def hostile_constants() -> Iterator[tuple[str, bytes]]:
    yield "float64", save({"weight.conv1": np.zeros(4)})
    yield "not safetensors", b"not safetensors at all"
    yield "empty", b""
    yield "pickle", b"\x80\x02cos\nsystem\n."
    for dtype, size in (("BF16", 2), ("F8_E4M3", 1), ("F16", 2), ("C64", 8)):
        yield dtype, raw(f'{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{size}]}}}}', bytes(size))
    yield "overflow", raw('{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}', bytes(8))


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in hostile_constants()])
def test_constants_that_are_not_float32_tensors_are_refused(small_bundle: "SmallBundle", content: bytes) -> None:
    document = small_bundle.document()
    document["files"]["generator.safetensors"] = small_bundle.add("generator.safetensors", content)
    bundle = Bundle.open(small_bundle.write(document))
    with pytest.raises(BundleError):
        bundle.constants()
