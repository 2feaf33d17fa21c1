"""Bundles from strangers: one list of what every runtime must refuse, Python's and C++'s, in the same words."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.bundle.reader import MAX_MANIFEST_BYTES
from hyperstyle_deploy.runtime.manifest.manifest import SCHEMA_VERSION
from hyperstyle_deploy.tests.small_bundle import SmallBundle, make_small_bundle

Place: TypeAlias = "tuple[str | int, ...]"
GRAPHS = ("encoder", "hypernet", "offsets", "weights", "synthesis", "synthesis_one")
FILES = ("generator.safetensors", *(f"{stage}.onnx" for stage in GRAPHS))


@dataclass(frozen=True)
class Hostile:
    """A way to spoil a bundle of a method, and a pattern that its error matches.

    ``own_words`` is off where the text quotes a JSON library, or where Python's takes JSON that others refuse: there
    only the kind of error is the same.
    """

    name: str
    spoil: Callable[[SmallBundle], object]
    match: str
    own_words: bool = True
    method: str = "hyperstyle"

    def write(self, path: Path) -> SmallBundle:
        """The spoiled bundle, in a folder that is not there yet."""
        bundle = make_small_bundle(path, self.method)
        self.spoil(bundle)
        return bundle


#: One manifest object of every kind, and its fields.
FIELDS: dict[Place, tuple[str, ...]] = {
    (): (
        *("schema_version", "method", "domain", "model", "precision", "licence", "image", "generator", "state"),
        *("checkpoints", "constants", "graphs", "files", "provenance"),
    ),
    ("method",): ("name", "default_steps", "encoder_steps"),
    ("image",): ("kind", "channels", "input_height", "input_width", "rows"),
    ("generator",): ("family", "size", "styles", "width", "layers"),
    ("generator", "layers", 0): (
        *("index", "name", "in_channels", "out_channels", "kernel", "resolution", "style", "up", "offset"),
    ),
    ("state", 0): ("name", "shape"),
    ("checkpoints", 0): ("role", "file", "sha256"),
    ("graphs", "encoder"): ("file", "opset", "inputs", "outputs"),
    ("graphs", "encoder", "inputs", 0): ("name", "dtype", "shape"),
    ("graphs", "encoder", "outputs", 0): ("name", "dtype", "shape"),
    ("files", "encoder.onnx"): ("bytes", "sha256"),
}
PLACES = [(*place, field) for place, names in FIELDS.items() for field in names]
# Values of every JSON type; a field must refuse those that are not of its own.
VALUES: tuple[Any, ...] = (None, True, 7, 7.5, "text", [], ["text"], {}, {"key": 1})
LAYERS: Place = ("generator", "layers")
OUT_OF_RANGE: tuple[tuple[Place, Any], ...] = (
    (("method", "default_steps"), -1),
    (("method", "default_steps"), 1001),
    (("method", "encoder_steps"), -5),
    (("generator", "family"), "stylegan1"),  # known, but not of this method
    (("generator", "family"), "stylegan3"),
    (("generator", "size"), 16),
    (("generator", "size"), 48),
    (("generator", "size"), 2048),
    (("generator", "size"), 64),  # valid, but the layers are those of 32
    (("generator", "styles"), 0),
    (("generator", "styles"), 7),  # fewer than the layers take
    (("generator", "width"), 10**9),
    (("generator", "width"), 9),  # the graphs have another
    (("image", "kind"), "depth"),
    (("image", "kind"), "sketch"),  # which HyperStyle does not take
    (("image", "channels"), 4),
    (("image", "input_height"), 0),
    (("image", "input_width"), 10**9),
    (("image", "input_width"), 64),  # other than what graphs take
    (("image", "rows"), [0, 33]),
    (("image", "rows"), [-1, 32]),
    (("image", "rows"), [16, 16]),
    (("image", "rows"), [0, 16]),  # the graphs draw 32
    (("image", "rows"), [0.0, 32.0]),
    (("image", "rows"), [0, 16, 32]),
    (("precision",), "fp16"),
    (("precision",), "float64"),
    (LAYERS, []),
    ((*LAYERS, 0, "index"), 1),
    ((*LAYERS, 0, "in_channels"), -8),
    ((*LAYERS, 0, "in_channels"), 10**6),
    ((*LAYERS, 0, "up"), True),
    ((*LAYERS, 0, "name"), 'it\'s "quoted" \\ \x1b[2J ünï ☃ \u202e'),
    ((*LAYERS, 0, "name"), "../conv1"),
    ((*LAYERS, 0, "name"), "n" * 65),
    ((*LAYERS, 1, "name"), "conv1"),
    ((*LAYERS, 1, "kernel"), 5),
    ((*LAYERS, 1, "up"), True),
    ((*LAYERS, 1, "out_channels"), 4),
    ((*LAYERS, 5, "out_channels"), 10**12),
    ((*LAYERS, 5, "resolution"), 8),
    ((*LAYERS, 3, "offset"), "channel"),  # one more than the state and the graphs have
    ((*LAYERS, 2, "offset"), "channel"),  # the graphs have whole kernels
    ((*LAYERS, 0, "offset"), "none"),
    ((*LAYERS, 3, "offset"), "shared"),
    ((*LAYERS, 4, "style"), 99),
    ((*LAYERS, 4, "style"), -1),
    (("state",), []),
    (("state", 0, "name"), "latents"),
    (("state", 1, "name"), "offsets"),
    (("state", 0, "shape"), [8, 9]),
    (("state", 1, "shape"), [4, 6]),  # the graphs have codes of 5
    (("state", 1, "shape"), [3, 5]),
    (("state", 1, "shape"), ["steps", 4, 5]),  # kept step by step, but the graphs take one row
    (("state", 1, "shape"), [4, "steps"]),
    (("checkpoints",), []),
    (("checkpoints", 0, "sha256"), "1" * 63),
    (("files", "encoder.onnx", "bytes"), -1),
    (("files", "encoder.onnx", "sha256"), "0" * 63),
    (("files", "encoder.onnx", "sha256"), "A" * 64),
    (("files", "encoder.onnx", "sha256"), "0" * 64 + "\n"),
    (("graphs", "encoder", "inputs", 0, "dtype"), "object"),
    (("graphs", "encoder", "inputs", 0, "dtype"), "int64"),
    (("graphs", "encoder", "inputs", 0, "dtype"), "float16"),  # in a bundle of float32
    (("graphs", "encoder", "inputs", 0, "name"), "photo"),
    (("graphs", "encoder", "inputs", 0, "shape"), [1, -1]),
    (("graphs", "encoder", "inputs", 0, "shape"), ["batch", 3, 0]),
    (("graphs", "encoder", "inputs", 0, "shape"), ["photos", 3, 32, 32]),
    (("graphs", "encoder", "outputs", 0, "shape"), [0]),
    (("graphs", "encoder", "outputs", 0, "shape"), ["batch", 8, 9]),
    (("graphs", "encoder", "outputs"), []),
    (("graphs", "weights", "outputs", 4, "name"), "weight.conv1"),
    (("graphs", "encoder", "file"), "unlisted.onnx"),
    (("constants",), ["unlisted.safetensors"]),
)
#: Methods whose needs the small HyperStyle bundle does not meet, and names that nobody knows.
OTHER_METHODS = ("psp", "e4e", "restyle-psp", "restyle-e4e", "idinvert")
UNKNOWN_METHODS = ("", "HyperStyle", "hyperstyle\0", "pti", "m" * 5000, "\x1b[2J")
HOSTILE_NAMES = (
    *("../secret", "sub/../../secret", "/etc/hostname", "..\\secret", "C:secret", "encoder.onnx\0", "", ".", "link"),
    *("hard", "missing", "missing\x1b[2J", "n" * 5000, "*/_ORT_MEM_ADDR_/*"),
)
#: Documents that are not JSON.
NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "cut": b"{",
    "html": b"<!DOCTYPE html>",
    "utf-16": b"\xff\xfe\x00",
    "not text": b"\x80\x81",
    "cut later": b'{"schema_version": 2',
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 200_000,
    "deep within limits of a stack": b"[" * 900 + b"]" * 900,
    "a key twice": b'{"schema_version": 2, "schema_version": 2}',
    "a key twice within": b'{"schema_version": 2, "method": {"name": "psp", "name": "e4e"}}',
    "not a number": b'{"schema_version": NaN}',
    "infinite": b'{"schema_version": Infinity}',
    "beyond a double": b'{"schema_version": 1e999}',
    "half a pair": b'{"schema_version": "\\ud800"}',
    "half a pair as a key": b'{"\\udc00": 1}',
}


def at(document: Any, place: Place) -> Any:
    """The value at a place of a document."""
    for key in place:
        document = document[key]
    return document


def label(place: object) -> str:
    """A place as a test's name."""
    return ".".join(map(str, place)) or "top" if isinstance(place, tuple) else str(place)


def edited(edit: Callable[[Any], object]) -> Callable[[SmallBundle], object]:
    """Spoil the manifest: ``edit`` changes the document in place."""

    def spoil(bundle: SmallBundle) -> None:
        document = bundle.document()
        edit(document)
        bundle.write(document)

    return spoil


def changed(place: Place, value: Any) -> Callable[[SmallBundle], object]:
    """Put a value at a place of the manifest."""
    return edited(lambda document: at(document, place[:-1]).__setitem__(place[-1], value))


def hostile_bundles() -> Iterator[Hostile]:
    """All of them."""
    yield from _versions()
    yield from _methods()
    yield from _descents()
    yield from _fields()
    yield from _generators()
    yield from _values()
    yield from _paths()
    yield from _files()
    yield from _documents()
    yield from _graphs()


def _versions() -> Iterator[Hostile]:
    again, upgrade = "Export the checkpoint again", "Upgrade hyperstyle-deploy"
    for version, hint in (
        *((0, again), (SCHEMA_VERSION + 1, upgrade), (10**9, upgrade), ("2", again), (1.5, again), ([1, "x"], again)),
        *((False, again), ({"a": None}, again), ("\x1b[2J", again)),
    ):
        match = f"another schema version.*Expected: {SCHEMA_VERSION}. {hint}"
        yield Hostile(f"version {version!r}", changed(("schema_version",), version), match)
    lines = changed(("schema_version",), "a\nb")
    yield Hostile("version of two lines", lines, r"Got: a\\nb\. Expected")
    yield Hostile("version true", changed(("schema_version",), True), "another schema version")
    yield Hostile(
        "other fields", lambda bundle: bundle.write({"schema_version": 99, "parts": []}), "Got: 99. .*Upgrade"
    )
    without = edited(lambda document: document.pop("schema_version"))
    yield Hostile("no version", without, f"Got: none. Expected: {SCHEMA_VERSION}.")


def _methods() -> Iterator[Hostile]:
    name: Place = ("method", "name")
    for method in UNKNOWN_METHODS:
        yield Hostile(f"method {method[:20]!r}", changed(name, method), "method.name is unknown")
    for method in OTHER_METHODS:
        yield Hostile(f"method {method}", changed(name, method), r"bundle\.json: .* is wrong")
    yield Hostile("another encoder", changed(("method", "encoder_steps"), 5), r"graphs\[encoder\]\.inputs")
    swapped = edited(lambda document: document["graphs"]["synthesis_one"]["outputs"].reverse())
    yield Hostile("outputs swapped", swapped, r"graphs\[synthesis_one\]\.outputs\[0\]")
    more = edited(
        lambda document: document["graphs"]["hypernet"]["outputs"].append(document["state"][0] | {"dtype": "float32"})
    )
    yield Hostile("one output more", more, r"graphs\[hypernet\]\.outputs")
    styled = edited(lambda document: document["graphs"].update(synthesis_styles=document["graphs"]["synthesis"]))
    yield Hostile("styles that are none", styled, r"graphs\[synthesis_styles\]\.inputs\[1\]")


_DESCENT = ("graphs", "idinvert_gradient")
#: Of an IDInvert bundle: what is at a place in place of what should be, and where that shows.
_DESCENTS: tuple[tuple[Place, Any, str], ...] = (
    (("method", "name"), "psp", r"generator\.family"),
    (("method", "name"), "projection", r"method\.name is unknown"),
    (("method", "default_steps"), 1001, r"method\.default_steps"),
    (("method", "encoder_steps"), 1, r"method\.encoder_steps"),
    (("generator", "family"), "stylegan2", r"generator\.family"),
    ((*LAYERS, 0, "offset"), "full", r"generator\.layers"),
    (("image", "kind"), "sketch", r"image\."),
    (("state", 0, "name"), "latents", "state"),
    (("state", 0, "shape"), [8, 9], "state"),
    ((*_DESCENT, "inputs", 0, "name"), "latents", r"graphs\[idinvert_gradient\]\.inputs\[0\]"),
    ((*_DESCENT, "inputs", 1, "shape"), [1, 3, 32, 16], r"graphs\[idinvert_gradient\]\.inputs\[1\]"),
    ((*_DESCENT, "inputs", 2, "name"), "noise.layer9", r"graphs\[idinvert_gradient\]\.inputs\[2\]"),
    ((*_DESCENT, "outputs", 0, "shape"), [1, 8, 9], r"graphs\[idinvert_gradient\]\.outputs\[0\]"),
    ((*_DESCENT, "outputs", 1, "shape"), [2], r"graphs\[idinvert_gradient\]\.outputs\[1\]"),
    ((*_DESCENT, "outputs", 2, "name"), "loss.beauty", r"graphs\[idinvert_gradient\]\.outputs"),
    ((*_DESCENT, "outputs", 2, "name"), "loss.feature", r"graphs\[idinvert_gradient\]\.inputs"),  # weights of others
    (("graphs", "adam_codes", "inputs", 4, "shape"), [3], r"graphs\[adam_codes\]\.inputs\[4\]"),
)


def _descents() -> Iterator[Hostile]:
    """IDInvert's: a method on another generator, whose bundles always have a gradient."""
    for place, value, where in _DESCENTS:
        name = f"idinvert: {label(place)} = {value!r}"
        yield Hostile(name, changed(place, value), rf"bundle\.json: {where}", method="idinvert")
    for graph in ("encoder", "idinvert_gradient", "adam_codes", "synthesis", "synthesis_one"):
        missing = edited(lambda document, graph=graph: document["graphs"].pop(graph))
        yield Hostile(f"idinvert: no graph {graph}", missing, f"no {graph}", method="idinvert")


#: A further generator as bundles list it, and what is wrong with others.
_GENERATOR = {"name": "toonify", "offsets": [5, 7], "encoder_steps": 2}
_GENERATORS = {
    "a name with a dot": ([{**_GENERATOR, "name": "too.nify"}], r"generators\[0\]\.name"),
    "a long name": ([{**_GENERATOR, "name": "x" * 33}], r"generators\[0\]\.name"),
    "no name": ([{**_GENERATOR, "name": ""}], r"generators\[0\]\.name"),
    "a name twice": ([{**_GENERATOR, "encoder_steps": None, "offsets": []}] * 2, r"generators\[1\]\.name"),
    "layers in disorder": ([{**_GENERATOR, "offsets": [7, 5]}], r"generators\[0\]\.offsets"),
    "a layer that is not tuned": ([{**_GENERATOR, "offsets": [3]}], r"generators\[0\]\.offsets"),
    "a layer that there is not": ([{**_GENERATOR, "offsets": [-1]}], r"generators\[0\]\.offsets"),
    "too many steps": ([{**_GENERATOR, "encoder_steps": 1001}], r"generators\[0\]\.encoder_steps"),
    "steps in words": ([{**_GENERATOR, "encoder_steps": "two"}], r"generators\[0\]\.encoder_steps"),
    "an unknown field": ([{**_GENERATOR, "domain": "toons"}], r"generators\[0\].*unknown \['domain'\]"),
    "no list": (_GENERATOR, "generators is wrong"),
    "none of its graphs": ([_GENERATOR], r"graphs is wrong\. Got: no (weights|generator_encoder)"),
}


def _generators() -> Iterator[Hostile]:
    for name, (value, match) in _GENERATORS.items():
        yield Hostile(f"generators: {name}", changed(("generators",), value), match)


def _fields() -> Iterator[Hostile]:
    def removed(place: Place) -> Callable[[SmallBundle], object]:
        return edited(lambda document: at(document, place[:-1]).pop(place[-1]))

    for place in PLACES:
        if place != ("schema_version",):
            match = rf"missing \['{place[-1]}'\], unknown \[\]"
            yield Hostile(f"missing {label(place)}", removed(place), match)
    for place in FIELDS:
        yield Hostile(f"unknown {label(place)}", changed((*place, "surprise"), 1), r"unknown \['surprise'\]")


def _values() -> Iterator[Hostile]:
    for place, value in _wrong_types():
        name, spoil = f"{label(place)} = {value!r}", changed(place, value)
        yield Hostile(name, spoil, "another schema version" if place == ("schema_version",) else "is wrong")
    for place, value in OUT_OF_RANGE:
        name = f"{label(place)} = {value!r}"[:80]
        yield Hostile(name, changed(place, value), r"bundle\.json: .* is wrong")
    yield Hostile("NaN", changed(("image", "rows"), [float("nan"), 32]), "bundle.json", own_words=False)
    for graph in GRAPHS:
        yield Hostile(f"no graph {graph}", edited(lambda d, graph=graph: d["graphs"].pop(graph)), f"no {graph}")
    yield Hostile("layers out of order", edited(lambda document: document["generator"]["layers"].reverse()), "layers")


def _wrong_types() -> Iterator[tuple[Place, object]]:
    """Every field with values that JSON allows and the schema does not."""
    free_text = {("domain",), ("model",), ("licence",), ("checkpoints", 0, "role"), ("checkpoints", 0, "file")}
    allowed: dict[Place, tuple[object, ...]] = {
        ("licence",): (None, "text"),
        ("method", "default_steps"): (7,),
        ("method", "name"): ("text",),  # refused in other words
        (*LAYERS, 0, "style"): (7,),
        ("constants",): ([],),
        ("provenance",): ({}, {"key": 1}),
        ("graphs", "encoder", "opset"): (7,),
        ("files", "encoder.onnx", "bytes"): (7,),
        ("state", 0, "shape"): (),
        **{place: ("text",) for place in free_text if place != ("licence",)},
    }
    for place in PLACES:
        for value in VALUES:
            if not any(value == good and type(value) is type(good) for good in allowed.get(place, ())):
                yield place, value


def _paths() -> Iterator[Hostile]:
    def spoiled(kind: str, name: str) -> Callable[[SmallBundle], object]:
        def spoil(bundle: SmallBundle) -> None:
            (bundle.path.parent / "secret").write_bytes(b"graph encoder")
            (bundle.path / "link").symlink_to("encoder.onnx")
            (bundle.path / "hard").hardlink_to(bundle.path.parent / "secret")
            document = bundle.document()
            document["files"][name] = document["files"]["encoder.onnx"]  # its size and checksum are those of the secret
            if kind == "graphs":
                document["graphs"]["encoder"]["file"] = name
            elif kind == "constants":
                document["constants"] = [name]
            bundle.write(document)

        return spoil

    for kind in ("files", "graphs", "constants"):
        for name in HOSTILE_NAMES:
            yield Hostile(f"{kind} {name!r}"[:60], spoiled(kind, name), "path in the bundle|file of the bundle")
        lone = f"{kind} lone surrogate"
        yield Hostile(lone, spoiled(kind, "\ud800"), "file of the bundle|is not JSON", own_words=False)


def _files() -> Iterator[Hostile]:
    def flipped(name: str, position: int) -> Callable[[SmallBundle], object]:
        def spoil(bundle: SmallBundle) -> None:
            content = bytearray((bundle.path / name).read_bytes())
            content[position] ^= 1
            (bundle.path / name).write_bytes(content)

        return spoil

    def resized(name: str, change: int) -> Callable[[SmallBundle], object]:
        def spoil(bundle: SmallBundle) -> None:
            os.truncate(bundle.path / name, (bundle.path / name).stat().st_size + change)

        return spoil

    for name in FILES:
        for position in (0, -1):
            match = f"not the ones that were exported. Got: {name}: sha256 [0-9a-f]{{12}}. Expected"
            yield Hostile(f"bit {position} of {name}", flipped(name, position), match)
        for change in (-1, 1):
            match = rf"not the ones that were exported. Got: {name}: \d+ bytes. Expected"
            yield Hostile(f"{name} {change:+}", resized(name, change), match)
    all_names = ".*".join(FILES)
    yield Hostile("all files", lambda bundle: [(bundle.path / name).write_bytes(b"") for name in FILES], all_names)
    for name in (*FILES, "bundle.json"):
        for kind in ("missing", "folder", "symbolic link", "hard link"):
            yield Hostile(f"{name} {kind}", _replaced(name, kind), name)


def _replaced(name: str, kind: str) -> Callable[[SmallBundle], object]:
    """Put something in a file's place that is no file of the bundle's own."""

    def spoil(bundle: SmallBundle) -> None:
        path, elsewhere = bundle.path / name, bundle.path.parent / "elsewhere"
        path.rename(elsewhere)
        if kind == "folder":
            path.mkdir()
        elif kind == "symbolic link":
            path.symlink_to(elsewhere)
        elif kind == "hard link":
            path.hardlink_to(elsewhere)

    return spoil


def _documents() -> Iterator[Hostile]:
    def written(content: bytes) -> Callable[[SmallBundle], object]:
        return lambda bundle: (bundle.path / "bundle.json").write_bytes(content)

    for name, content in NOT_JSON.items():
        yield Hostile(name, written(content), "is not JSON", own_words=False)
    digits = b'{"schema_version": ' + b"9" * 5000 + b"}"

    def behind_a_nul(bundle: SmallBundle) -> None:
        with (bundle.path / "bundle.json").open("ab") as stream:
            stream.write(b"\0 {}")

    yield Hostile("behind a NUL", behind_a_nul, "is not JSON", own_words=False)
    yield Hostile("long number", written(digits), "is not JSON", own_words=False)
    for document in (None, True, 1, 1.5, "text", [], [{}]):
        yield Hostile(f"document {document!r}", written(json.dumps(document).encode()), "Expected: an object")

    def flipped(at: bytes, to: bytes) -> Callable[[SmallBundle], object]:
        def spoil(bundle: SmallBundle) -> None:
            content = (bundle.path / "bundle.json").read_bytes()
            assert content.count(at) >= 1
            (bundle.path / "bundle.json").write_bytes(content.replace(at, to, 1))

        return spoil

    unlike = "bundle.json is not as it was written"
    yield Hostile("another domain", flipped(b'"domain": "', b'"domain": "z'), unlike)
    yield Hostile("a blank more", flipped(b"{", b"{ "), unlike)
    for text in ("", "0" * 63, "g" * 64):
        yield Hostile(
            f"checksum {text!r}",
            flipped(b'"checksum": "', b'"checksum": "' + text.encode() + b'", "x": "'),
            "checksum|unknown",
        )
    yield Hostile("no checksum", flipped(b'"checksum"', b'"check_sum"'), "check_?sum")
    huge = f"too large.*at most {MAX_MANIFEST_BYTES}"
    yield Hostile("huge", lambda bundle: os.truncate(bundle.path / "bundle.json", 1 << 40), huge)


def tag(number: int, content: bytes) -> bytes:
    """A protobuf field with a message or bytes in it."""
    length, sizes = len(content), bytearray()
    while length >= 0x80:
        sizes.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2]) + bytes(sizes) + bytes([length]) + content


def _graphs() -> Iterator[Hostile]:
    def graph(content: bytes) -> Callable[[SmallBundle], object]:
        def spoil(bundle: SmallBundle) -> None:
            document = bundle.document()
            document["files"]["encoder.onnx"] = bundle.add("encoder.onnx", content)
            bundle.write(document)

        return spoil

    for content in (b"\xff" * 50, b"\x0b", b"<net name='an OpenVINO graph'/>", tag(7, bytes(9))[:-3], b"\x0a\xff\x7f"):
        yield Hostile(f"no graph {content[:12]!r}", graph(content), "not ONNX")
    outside = tag(5, tag(13, tag(1, b"location") + tag(2, b"unlisted.bin")))
    for name, start in {
        "padded tag": b"\xba\x00",
        "tag beyond 32 bits": b"\xba\x80\x80\x80\x10",
        "tag beyond 64 bits": b"\xba\x80\x80\x80\x80\x80\x80\x80\x80\x02",
        "field 0": b"\x02",
    }.items():
        yield Hostile(name, graph(start + bytes([len(outside)]) + outside), "not ONNX")
    yield Hostile("padded length", graph(b"\x3a" + bytes([len(outside) | 0x80, 0]) + outside), "not ONNX")
    yield Hostile("many empty graphs", graph(b"\x3a\x00" * 250_001), "too many parts")
    for name, content in {
        "unknown field of a model": tag(15, b"?"),
        "a text for a number": tag(1, b"?"),
        "a number for a graph": b"\x38\1",
        "segments of a tensor": tag(7, tag(5, tag(3, b""))),
        "unknown field of a node": tag(7, tag(1, tag(4, b"Add") + tag(10, b""))),
        "unknown field of an attribute": tag(7, tag(1, tag(4, b"Add") + tag(5, tag(12, b"")))),
    }.items():
        yield Hostile(name, graph(content), "not ONNX. Got: field")
    for location in (b"unlisted.bin", b"../outside", b"/etc/hostname", b"./generator.safetensors", b"\xff\xfe", b""):
        entry = tag(13, tag(1, b"location") + tag(2, location))
        constant = tag(4, b"Constant") + tag(5, tag(5, entry))
        for name, inside in {"initializer": tag(5, entry), "attribute": tag(1, constant)}.items():
            yield Hostile(f"{name} in {location!r}", graph(tag(7, inside)), "not the bundle's")
    branch = tag(7, tag(1, tag(4, b"Identity") + tag(5, tag(6, tag(1, tag(4, b"Identity"))))))
    for name, content in {"functions": b"\xca\1\0", "training": b"\xa2\1\0", "a branch": branch}.items():
        yield Hostile(name, graph(content), "more than a graph")
    for name, node in {
        "endless loop": tag(4, b"Loop"),
        "4 GB from a shape": tag(4, b"ConstantOfShape"),
        "foreign domain": tag(4, b"Add") + tag(7, b"com.example"),
        "two operators": tag(4, b"Add") + tag(4, b"Mul"),
        "two domains": tag(4, b"Add") + tag(7, b"") + tag(7, b"com.microsoft"),
        "no operator": tag(3, b"a name alone"),
    }.items():
        yield Hostile(name, graph(tag(7, tag(1, node))), "operator that no export writes")


def raw(header: str, body: bytes) -> bytes:
    """A safetensors file."""
    return len(header).to_bytes(8, "little") + header.encode() + body


def hostile_constants() -> Iterator[tuple[str, bytes]]:
    """Files of constants in a float32 bundle that is otherwise sound."""
    yield "float64", save({"weight.conv1": np.zeros(4)})
    yield "not safetensors", b"not safetensors at all"
    yield "empty", b""
    yield "pickle", b"\x80\x02cos\nsystem\n."
    for dtype, size in (("BF16", 2), ("F8_E4M3", 1), ("F16", 2), ("C64", 8)):
        yield dtype, raw(f'{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{size}]}}}}', bytes(size))
    yield "overflow", raw('{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}', bytes(8))
