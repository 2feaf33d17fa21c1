"""Write what a bundle is made of besides graphs: constants, each stored once, and the manifest over all files."""

import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..manifest.checksum import with_checksum
from ..manifest.manifest import FileSpec, Manifest
from .files import sha256_of_all
from .reader import MANIFEST_NAME

#: Smaller constants stay inside the .onnx file.
EXTERNAL_BYTES = 1024
#: A constants file starts a new part past this size, so that checksums are computed on several cores.
PART_BYTES = 1 << 28
#: The header's length is a multiple of it.
_ALIGNMENT = 8

# A dtype -> what safetensors calls it.
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


@dataclass(frozen=True)
class Home:
    """Where a constant goes: the group of files, and its name there."""

    group: str
    name: str


@dataclass(frozen=True)
class Place:
    """Where a constant is: the file, and the bytes in it."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True)
class _Entry:
    array: NDArray[Any]
    dtype: str


@dataclass
class Constants:
    """The constants of a bundle in ``folder``, in the files of the group that had each first.

    Arrays are of NumPy's own types; others are given as integers of their size, and ``dtype`` says what they are
    ("bfloat16"). Files that are ``taken`` are left alone.
    """

    folder: Path
    taken: Collection[str] = ()
    _owners: dict[str, Home] = field(default_factory=dict)
    _groups: dict[str, dict[str, _Entry]] = field(default_factory=dict)
    # By address, with the array kept: freed memory may be given to another one.
    _digests: dict[tuple[int, str, tuple[int, ...]], tuple[NDArray[Any], str]] = field(default_factory=dict)

    def keep(self, group: str, name: str, array: NDArray[Any], dtype: str | None = None) -> None:
        """Keep an array under its name, which readers ask for: even if an equal one is kept already."""
        home = Home(group, name)
        entry = _Entry(np.asarray(array, order="C"), dtype or array.dtype.name)
        members = self._groups.setdefault(group, {})
        assert name not in members, f"{name} is kept already"
        members[name] = entry
        self._owners.setdefault(self._digest(entry), home)

    def add(self, group: str, name: str, array: NDArray[Any], dtype: str | None = None) -> Home:
        """Keep an array for ``group``'s files, unless an equal one is kept already; return where it is."""
        entry = _Entry(np.asarray(array, order="C"), dtype or array.dtype.name)
        digest = self._digest(entry)
        if digest not in self._owners:
            members = self._groups.setdefault(group, {})
            home = Home(group, name if name not in members else f"{name}.{digest[:8]}")
            members[home.name] = entry
            self._owners[digest] = home
        return self._owners[digest]

    def _digest(self, entry: _Entry) -> str:
        array = entry.array
        key = (array.__array_interface__["data"][0], entry.dtype, array.shape)
        if key not in self._digests:
            content = hashlib.blake2b(f"{entry.dtype}{list(array.shape)}".encode(), digest_size=16)
            content.update(_bytes_of(array))
            self._digests[key] = array, content.hexdigest()
        return self._digests[key][1]

    def write(self) -> dict[Home, Place]:
        """Write all files; return where every constant is."""
        places = {}
        for group, entries in self._groups.items():
            for file, members in zip(self.files(group), _parts(entries), strict=True):
                for name, (start, length) in _write_file(self.folder / file, members).items():
                    places[Home(group, name)] = Place(file, start, length)
        return places

    def files(self, group: str) -> tuple[str, ...]:
        """The files of a group, in order."""
        count = len(list(_parts(self._groups.get(group, {}))))
        numbered = (f"{group}-{part}.safetensors" for part in itertools.count(2))
        names = (name for name in itertools.chain([f"{group}.safetensors"], numbered) if name not in self.taken)
        return tuple(itertools.islice(names, count))


def _parts(entries: Mapping[str, _Entry]) -> Iterator[dict[str, _Entry]]:
    part: dict[str, _Entry] = {}
    size = 0
    for name, entry in entries.items():
        if part and size + entry.array.nbytes > PART_BYTES:
            yield part
            part, size = {}, 0
        part[name] = entry
        size += entry.array.nbytes
    if part:
        yield part


def _write_file(path: Path, entries: Mapping[str, _Entry]) -> dict[str, tuple[int, int]]:
    """Write a safetensors file without copying what goes into it; return where each tensor starts, and its bytes.

    The package's own writer copies every array, and takes other arguments in every version.
    """
    # Wide types first, so that every tensor is aligned to its own.
    ordered = dict(sorted(entries.items(), key=lambda item: -item[1].array.itemsize))
    header, spans, end = {}, {}, 0
    for name, entry in ordered.items():
        start, end = end, end + entry.array.nbytes
        spans[name] = (start, entry.array.nbytes)
        header[name] = {"dtype": _TYPES[entry.dtype], "shape": list(entry.array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for entry in ordered.values():
            stream.write(_bytes_of(entry.array))
    return {name: (8 + len(text) + start, length) for name, (start, length) in spans.items()}


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write `bundle.json` over the files that are in ``folder``; return it with their sizes and checksums."""
    paths = {file.name: file for file in sorted(folder.iterdir()) if file.name != MANIFEST_NAME}
    digests = sha256_of_all(paths)
    files = {name: FileSpec(path.stat().st_size, digests[name]) for name, path in paths.items()}
    complete = replace(manifest, files=files)
    (folder / MANIFEST_NAME).write_text(with_checksum(complete.to_json()))
    return complete
