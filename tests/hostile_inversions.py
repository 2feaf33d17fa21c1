"""Inversion files from strangers: one list of what every runtime must refuse, Python's and C++'s."""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import save

from hyperstyle_deploy.runtime.bundle.inversion import FORMAT, FORMAT_VERSION

Header: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class HostileFile:
    """A file's content, and a pattern that its error matches.

    ``own_words`` is off where the text quotes the reader of safetensors: there only the kind of error is the same.
    """

    name: str
    content: bytes
    match: str
    own_words: bool = True


def split(content: bytes) -> tuple[Header, bytes]:
    """A safetensors file's header and the bytes of its tensors."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(content: bytes, edit: Callable[[Header], object]) -> bytes:
    """The same file with another header, the tensors' bytes kept."""
    header, body = split(content)
    edit(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def sound_inversion() -> bytes:
    """A sound file: 5 steps of HyperStyle at 1024."""
    noise = np.random.default_rng(0)
    arrays = {
        name: noise.standard_normal((rows, 512), np.float32) for name, rows in {"codes": 18, "offset_codes": 17}.items()
    }
    metadata = {"format": FORMAT, "version": FORMAT_VERSION, "method": "hyperstyle", "steps": "5", "model": "a" * 64}
    return save({**arrays, "l2": 1 / np.arange(1.0, 7.0)}, metadata)


def hostile_inversions() -> Iterator[HostileFile]:
    """Everything that can be wrong with it."""
    sound = sound_inversion()
    for kept in (0, 4, 8, 9, 50, 200, 400, 5000, -100, -1):
        yield HostileFile(f"first {kept}", sound[:kept], "Cannot read the inversion", own_words=False)
    yield from _other_files()
    yield from _metadata(sound)
    yield from _arrays(sound)


def _other_files() -> Iterator[HostileFile]:
    deep = b"{" + b'"a":[' * 100_000
    for name, content in {
        "html": b"<!DOCTYPE html><html></html>",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "zeros": bytes(1000),
        "ones": b"\xff" * 1000,
        "null": struct.pack("<Q", 4) + b"null",
        "huge header": struct.pack("<Q", 2**40) + b"{}",
        "deep header": struct.pack("<Q", len(deep)) + deep,
        "not UTF-8": struct.pack("<Q", 8) + b'{"\xff":1}'[:8],
    }.items():
        yield HostileFile(name, content, "Cannot read the inversion", own_words=False)
    yield HostileFile("no arrays", struct.pack("<Q", 2) + b"{}", "not an inversion of this version")


def _metadata(sound: bytes) -> Iterator[HostileFile]:
    def changed(**values: object) -> bytes:
        return with_header(sound, lambda header: header["__metadata__"].update(values))

    for key in ("version", "format"):
        for value in ("0", "1", "3", ""):
            yield HostileFile(f"{key} {value!r}", changed(**{key: value}), "not an inversion of this version")
        gone = with_header(sound, lambda header, key=key: header["__metadata__"].pop(key))
        yield HostileFile(f"no {key}", gone, "not an inversion of this version")
    bare = with_header(sound, lambda header: header.pop("__metadata__"))
    yield HostileFile("no metadata", bare, "not an inversion of this version")
    for steps in ("", "-1", "1.5", "five", "9" * 5000, "1e3", " 5", "5\x1b[2J", "1001", "\u0665"):
        yield HostileFile(f"steps {steps[:9]!r}", changed(steps=steps), "no number of steps")
    yield HostileFile("a long header", changed(**{"source.note": "x" * 0x40000}), "a header", own_words=False)
    yield HostileFile("steps 5", changed(steps=5), "Cannot read the inversion", own_words=False)


def _arrays(sound: bytes) -> Iterator[HostileFile]:
    for name in ("codes", "l2"):
        renamed = with_header(sound, lambda header, name=name: header.update(other=header.pop(name)))
        yield HostileFile(f"{name} renamed", renamed, "does not hold the arrays.*other")
    shorter = with_header(sound, lambda header: header["l2"].update(shape=[3, 2]))
    yield HostileFile("l2 of another shape", shorter, "l2 of another length")
    fewer = with_header(sound, lambda header: header["__metadata__"].update(steps="4"))
    yield HostileFile("l2 of another number of steps", fewer, "l2 of another length")
    for name in ("codes", "offset_codes", "l2"):
        for value in (np.nan, np.inf, -np.inf):
            yield HostileFile(f"{value} in {name}", _with_value(sound, name, value), "NaN or Inf")
    sizes = {"F64": 8, "F16": 2, "U8": 1, "BOOL": 1}
    for dtype in (*sizes, "I32"):
        edit = _retyped(dtype, sizes.get(dtype, 4))
        yield HostileFile(dtype, with_header(sound, edit), "does not hold the arrays")
    for dtype, size in {"BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F99": 4}.items():
        content = with_header(sound, _retyped(dtype, size))
        # Where the package ml_dtypes is installed, NumPy has some of these.
        yield HostileFile(dtype, content, "Cannot read the inversion|does not hold the arrays", own_words=False)
    for shape in ([2**62, 512], [2**62, 8, 0], [18, 513], [-18, -512], [0], "x", [18.0, 512], [True]):
        content = with_header(sound, lambda header, shape=shape: header["codes"].update(shape=shape))
        yield HostileFile(f"shape {shape}", content, "Cannot read the inversion", own_words=False)
    for offsets in ([0, 8], [8, 0], [-1, 4], [2**63, 2**64], [0], "x"):
        content = with_header(sound, lambda header, offsets=offsets: header["codes"].update(data_offsets=offsets))
        yield HostileFile(f"offsets {offsets}", content, "Cannot read the inversion", own_words=False)
    for body in (sound + b"x", sound[:-4]):
        yield HostileFile(f"{len(body) - len(sound):+} bytes", body, "Cannot read the inversion", own_words=False)


def _retyped(dtype: str, size: int) -> Callable[[Header], object]:
    def edit(header: Header) -> None:
        start, end = header["codes"]["data_offsets"]
        header["codes"].update(dtype=dtype, shape=[(end - start) // size])

    return edit


def _with_value(sound: bytes, name: str, value: float) -> bytes:
    """The last number of an array replaced."""
    content = bytearray(sound)
    header, body = split(sound)
    kind, width = ("<d", 8) if name == "l2" else ("<f", 4)
    struct.pack_into(kind, content, len(sound) - len(body) + header[name]["data_offsets"][1] - width, value)
    return bytes(content)
