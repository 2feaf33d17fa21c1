"""A graph whose constants lie in memory: for a library that would look for their files by itself."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...errors import BundleError
from .onnx_scan import BELOW, BYTES, fields_of

#: How ONNX Runtime and OpenVINO write that a tensor's values are in memory, at the address that its offset says.
_IN_MEMORY = "*/_ORT_MEM_ADDR_/*"
_ENTRIES = 13


def with_mapped_constants(content: bytes, files: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """The same graph with addresses in place of places in files.

    Args:
        content: a graph that ``scan_graph`` has passed.
        files: the bytes of every file that it names, mapped. They must outlive whatever loads the graph.

    Raises:
        BundleError: a tensor has no place in its file.
    """
    return _rewritten("model", memoryview(content), files)


def _rewritten(kind: str, message: memoryview, files: Mapping[str, NDArray[np.uint8]]) -> bytes:
    parts, entries = [], {}
    for field in fields_of(message):
        below = BELOW[kind].get(field.number)
        if below == "entry":
            entry = {
                pair.number: bytes(pair.value).decode(errors="backslashreplace") for pair in fields_of(field.value)
            }
            entries[entry.get(1, "")] = entry.get(2, "")
        elif below is None:
            parts.append(bytes(field.whole))
        else:
            parts.append(_field(field.number, _rewritten(below, field.value, files)))
    if "location" in entries:
        parts += [
            _field(_ENTRIES, _field(1, key.encode()) + _field(2, value.encode()))
            for key, value in _in_memory(entries, files).items()
        ]
    return b"".join(parts)


def _in_memory(entries: Mapping[str, str], files: Mapping[str, NDArray[np.uint8]]) -> dict[str, str]:
    """Where the values of a tensor are, which says where they are in a file."""
    mapped = files[entries["location"]]
    place = [entries.get(key, "") for key in ("offset", "length")]
    if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in place):
        raise BundleError("A graph of the bundle does not say where its constants are", got=place)
    offset, length = map(int, place)
    if offset + length > mapped.size:
        raise BundleError("A graph of the bundle takes constants from beyond a file", got=place, expected=mapped.size)
    return {"location": _IN_MEMORY, "offset": str(mapped.ctypes.data + offset), "length": str(length)}


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
