"""The zip archive of a checkpoint: what kind of file it is, and where its records lie. Nothing is unpacked."""

import mmap
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import CheckpointError
from ..runtime.bundle.files import kind_of, open_plain
from ..runtime.inspection import content_of

#: Largest zip directory that is read, in bytes: about 60,000 records.
MAX_DIRECTORY = 8 << 20
_LOCAL, _END, _END64, _LOCATOR = b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7"

_PICTURE = "Pictures are for `invert`, once there is a bundle."
#: What users hand over by mistake, and what to do instead.
_OTHERS = {
    "a web page": "Google Drive sends a page in place of a large file: open the link in a browser and confirm.",
    "a JPEG picture": _PICTURE,
    "a PNG picture": _PICTURE,
    "a WebP picture": _PICTURE,
    "a safetensors file": "`inspect` says what is in it.",
    "a graph": "It is exported already: `invert` takes the folder that it is in, the bundle.",
    "an engine": "`invert --backend tensorrt` takes the bundle that it belongs to.",
    "an empty file": "Download it again.",
}


@dataclass(frozen=True)
class Archive:
    """A file of ``torch.save``'s, mapped into memory; writing to the mapping changes no file.

    ``records`` are named without the archive's own folder: `data.pkl`, `data/0`.
    """

    path: Path
    mapped: mmap.mmap
    records: Mapping[str, slice]

    def record(self, name: str) -> memoryview:
        """The bytes of a record.

        Raises:
            CheckpointError: there is none of that name.
        """
        if name not in self.records:
            raise CheckpointError(f"{self.path} has no record {name}", hint="It is damaged: download it again.")
        return memoryview(self.mapped)[self.records[name]]


def open_archive(path: Path) -> Archive:
    """Find the records of a checkpoint. PyTorch is not needed.

    Raises:
        CheckpointError: no file of PyTorch's, one of its other kinds, or one that unpacks to more than it holds.
    """
    if (kind := kind_of(path)) != "a file":
        raise CheckpointError(f"{path} is not a checkpoint", got=kind)
    try:
        _check_content(path, content_of(path))
        with open_plain(path) as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            entries = _entries(path, stream, mapped)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}", got=error.strerror) from error
    return Archive(path, mapped, _records(path, mapped, entries))


def _check_content(path: Path, content: str) -> None:
    if content in _OTHERS:
        raise CheckpointError(
            f"{path} is not a checkpoint",
            got=f"{content}, {path.stat().st_size} bytes",
            expected="a file that torch.save wrote",
            hint=_OTHERS[content],
        )
    if content == "a pickle":
        raise CheckpointError(
            f"{path} is not a checkpoint",
            got="a pickle",
            expected="a zip file",
            hint="It is from before PyTorch 1.6, which cannot be checked before it is unpacked: save it again.",
        )


def _entries(path: Path, stream: BinaryIO, mapped: mmap.mmap) -> list[zipfile.ZipInfo]:
    try:
        if (size := _directory_bytes(mapped)) > MAX_DIRECTORY:
            raise bomb(path, f"a zip directory of {size} bytes")
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        hint = "Download it again; it is cut short or of another kind."
        raise CheckpointError(f"{path} is not a checkpoint", got=error, expected="a zip file", hint=hint) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise CheckpointError(
            f"{path} is a TorchScript program, not a checkpoint", hint="Use the file that training saved."
        )
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    claimed = sum(entry.file_size for entry in entries)
    if packed or claimed > len(mapped):
        raise bomb(path, f"{claimed} bytes from {len(mapped)}, {len(packed)} compressed entries")
    return entries


def _directory_bytes(mapped: mmap.mmap) -> int:
    """How large the directory says that it is, read as `zipfile` will; that makes an object of every 46 bytes."""
    end = mapped.rfind(_END, max(0, len(mapped) - 22 - 0xFFFF))
    if end < 0 or end + 22 > len(mapped):
        return 0  # no zip file: `zipfile` says so
    (size,) = struct.unpack_from("<L", mapped, end + 12)
    if end >= 20 + 56 and mapped[end - 20 : end - 16] == _LOCATOR and mapped[end - 76 : end - 72] == _END64:
        (size,) = struct.unpack_from("<Q", mapped, end - 76 + 40)
    return int(size)


def _records(path: Path, mapped: mmap.mmap, entries: list[zipfile.ZipInfo]) -> dict[str, slice]:
    records = {}
    for entry in entries:
        at = entry.header_offset
        if not 0 <= at <= len(mapped) - 30 or mapped[at : at + 4] != _LOCAL:
            raise bomb(path, "a directory that leads elsewhere")
        if mapped[at + 8 : at + 10] != b"\0\0":
            raise bomb(path, "a record that is compressed where it lies")
        start = at + 30 + sum(struct.unpack_from("<HH", mapped, at + 26))
        if start + entry.file_size > len(mapped):
            raise bomb(path, "a record that reaches past the end")
        records[entry.filename] = slice(start, start + entry.file_size)
    roots = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1 or len(records) < len(entries):
        raise CheckpointError(f"{path} is not a checkpoint", got="a zip file", expected="a file that torch.save wrote")
    (root,) = roots
    return {name.removeprefix(root): where for name, where in records.items() if name.startswith(root)}


def bomb(path: Path, got: str) -> CheckpointError:
    """The error of a file that would unpack to more than it holds."""
    return CheckpointError(
        f"{path} may unpack to more than it holds", got=got, expected="stored entries, as torch.save writes them"
    )
