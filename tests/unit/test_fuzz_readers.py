"""The readers of strangers' files on files nobody thought of: each is read, or is one typed error; nothing hangs.

Files are sound ones with bytes changed, and ones built from the parts that their format has, which get further. Of what
fails, an example as small as possible is printed.
"""

import argparse
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hyperstyle_deploy.errors import HyperStyleDeployError
from hyperstyle_deploy.export.checkpoint import read_checkpoint, read_generator
from hyperstyle_deploy.runtime.bundle.inversion import Inversion
from hyperstyle_deploy.runtime.bundle.onnx_scan import scan_graph
from hyperstyle_deploy.runtime.images import read_photo
from hyperstyle_deploy.runtime.manifest import strict_json
from hyperstyle_deploy.runtime.manifest.checksum import FIELD, seal
from hyperstyle_deploy.runtime.manifest.manifest import Manifest
from hyperstyle_deploy.runtime.methods import method_of
from hyperstyle_deploy.tests.hostile_bundles import tag
from hyperstyle_deploy.tests.hostile_inversions import sound_inversion
from hyperstyle_deploy.tests.small_bundle import make_small_bundle, small_manifest, with_graphs

#: The same ones each time, some seconds; and ever new ones, for minutes.
EXAMPLES = [
    150,
    pytest.param(int(os.environ.get("HYPERSTYLE_FUZZ_EXAMPLES", "60000")), marks=pytest.mark.exhaustive),
]

every_size = pytest.mark.parametrize("examples", EXAMPLES)
#: Places as parts of the whole, what happens there, and bytes for it.
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["replace", "insert", "cut", "double"]), st.binary(min_size=1, max_size=9)
    ),
    min_size=1,
    max_size=5,
)


def edited(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for place, kind, what in edits:
        at = int(place * len(content))
        head, tail = content[:at], content[at:]
        content = {
            "replace": head + what + tail[len(what) :],
            "insert": head + what + tail,
            "cut": head + tail[8 * len(what) :],
            "double": head + tail[: 8 * len(what)] + tail,
        }[kind]
    return content


def holds(examples: int, strategy: st.SearchStrategy[Any], read: Callable[[Any], object]) -> None:
    """Read many examples; only the package's own errors may come."""

    @settings(
        max_examples=examples,
        deadline=60_000,
        derandomize=examples == EXAMPLES[0],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def checked(example: Any) -> None:
        text = ""
        try:
            read(example)
        except HyperStyleDeployError as error:
            text = str(error)
        assert text.isprintable()
        assert len(text) < 2000

    checked()


# Manifests

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with a key into it."""
    keys = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [pair for key, value in keys for pair in [(document, key), *places(value)]]


@every_size
def test_manifests(examples: int) -> None:
    text = json.dumps(with_graphs(small_manifest("hyperstyle")).to_json())

    def read(example: tuple[float, Any]) -> None:
        document = json.loads(text)
        found = places(document)
        container, key = found[int(example[0] * (len(found) - 1))]
        container[key] = example[1]
        method_of(Manifest.from_json(document))

    holds(examples, st.tuples(st.floats(0, 1), JSON), read)


@every_size
def test_bytes_of_manifests(examples: int, tmp_path: Path) -> None:
    from hyperstyle_deploy.runtime.bundle.reader import read_manifest

    bundle = make_small_bundle(tmp_path / "bundle")
    sound = (bundle.path / "bundle.json").read_bytes()

    def read(edits: list[tuple[float, str, bytes]]) -> None:
        (bundle.path / "bundle.json").write_bytes(edited(sound, edits))
        read_manifest(bundle.path)

    holds(examples, EDITS, read)


@every_size
def test_json_text(examples: int) -> None:
    def read(value: Any) -> None:
        text = json.dumps(value)
        try:
            parsed = strict_json.parse(text.encode(errors="surrogatepass"))
        except ValueError:
            return
        assert strict_json.parse(strict_json.dump(parsed).encode()) == parsed

    holds(examples, JSON, read)


def test_a_seal_is_of_all_bytes() -> None:
    text = json.dumps({"a": 1, FIELD: "0" * 64})
    assert seal(text) != seal(text.replace("1", "2"))


# Graphs: messages of the numbers that ONNX has, in any order and depth

MESSAGES = st.recursive(
    st.binary(max_size=12) | st.sampled_from([b"location", b"Conv", b"Loop", b"com.microsoft", b"../x"]),
    lambda inner: st.lists(st.tuples(st.integers(1, 15), inner), max_size=4).map(
        lambda fields: b"".join(tag(number, content) for number, content in fields)
    ),
    max_leaves=25,
)


@every_size
def test_graphs(examples: int) -> None:
    holds(examples, MESSAGES, lambda content: scan_graph(tag(7, content)))


# Inversions

HEADERS = st.dictionaries(
    st.sampled_from(["codes", "l2", "offset_codes", "__metadata__", "x"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "X"]),
            "shape": st.lists(st.integers(-1, 9), max_size=5),
            "data_offsets": st.lists(st.integers(-8, 99), min_size=1, max_size=3),
        }
    )
    | st.dictionaries(st.sampled_from(["format", "version", "method", "model", "steps"]), JSON, max_size=5),
    max_size=4,
)


@every_size
def test_bytes_of_inversions(examples: int, tmp_path: Path) -> None:
    def read(edits: list[tuple[float, str, bytes]]) -> None:
        (tmp_path / "x.inversion").write_bytes(edited(sound_inversion(), edits))
        Inversion.load(tmp_path / "x.inversion")

    holds(examples, EDITS, read)


@every_size
def test_headers_of_inversions(examples: int, tmp_path: Path) -> None:
    def read(example: tuple[Any, bytes]) -> None:
        header = json.dumps(example[0]).encode()
        (tmp_path / "x.inversion").write_bytes(struct.pack("<Q", len(header)) + header + example[1])
        Inversion.load(tmp_path / "x.inversion")

    holds(examples, st.tuples(HEADERS, st.binary(max_size=99)), read)


# Checkpoints: bytes changed anywhere, and pickles made of the opcodes that checkpoints have


def sound_checkpoint() -> bytes:
    stream = io.BytesIO()
    state = {"decoder.weight": torch.arange(6.0).reshape(2, 3), "decoder.count": torch.tensor(3)}
    content = {"state_dict": state, "opts": argparse.Namespace(size=256, name="x"), "latent_avg": torch.ones(4)}
    torch.save(content, stream)
    return stream.getvalue()


NAMES = [
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "collections OrderedDict",
    "torch Size",
    "posix system",
]
OPCODES = st.one_of(
    st.sampled_from(
        [b"(", b"]", b"}", b")", b"N", b"t", b"l", b"d", b"a", b"e", b"s", b"u", b"R", b"b", b"Q", b"\x81"]
    ),
    st.sampled_from([b"\x85", b"\x86", b"\x87", b"0", b"2", b"\x88", b"\x8f", b"\x90", b"\x93", b"\x94"]),
    st.integers(0, 5).map(lambda slot: b"q" + bytes([slot])),
    st.integers(0, 5).map(lambda slot: b"h" + bytes([slot])),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: b"J" + struct.pack("<i", value)),
    st.text(max_size=5).map(lambda text: b"X" + struct.pack("<I", len(text.encode())) + text.encode()),
    st.sampled_from(["storage", "state_dict", "latin1", "0"]).map(
        lambda t: b"X" + struct.pack("<I", len(t)) + t.encode()
    ),
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
)


@every_size
def test_bytes_of_checkpoints(examples: int, tmp_path: Path) -> None:
    sound = sound_checkpoint()

    def read(edits: list[tuple[float, str, bytes]]) -> None:
        (tmp_path / "x.pt").write_bytes(edited(sound, edits))
        read_checkpoint(tmp_path / "x.pt")

    holds(examples, EDITS, read)


@every_size
def test_pickles_of_checkpoints(examples: int, tmp_path: Path) -> None:
    def read(opcodes: list[bytes]) -> None:
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr("x/data.pkl", b"\x80\x02" + b"".join(opcodes) + b".")
            archive.writestr("x/data/0", bytes(16))
        read_checkpoint(tmp_path / "x.pt")

    holds(examples, st.lists(OPCODES, min_size=1, max_size=40), read)


@every_size
def test_plain_pickles(examples: int, tmp_path: Path) -> None:
    """As StyleGAN2-ADA publishes its networks, the numbers inside."""
    content = {"G_ema": {"conv1": torch.arange(6.0)}, "more": [torch.zeros(2).half(), None, 1.5, "x"]}
    sound = pickle.dumps(content, protocol=3)

    def read(edits: list[tuple[float, str, bytes]]) -> None:
        (tmp_path / "x.pkl").write_bytes(edited(sound, edits))
        read_generator(tmp_path / "x.pkl")

    holds(examples, EDITS, read)


# Photos


@every_size
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_bytes_of_photos(examples: int, tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind, exif=Image.Exif())
    sound = stream.getvalue()

    def read(edits: list[tuple[float, str, bytes]]) -> None:
        (tmp_path / "photo").write_bytes(edited(sound, edits))
        read_photo(tmp_path / "photo")

    holds(examples, EDITS, read)
