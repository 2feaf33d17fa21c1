"""Small safetensors files with text beside their arrays: the same bytes every time, and read within bounds."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..manifest import strict_json
from .files import open_plain

MAX_HEADER_BYTES = 0x40000


def stored(arrays: dict[str, NDArray[Any]], metadata: dict[str, str]) -> bytes:
    """A safetensors file, the same bytes every time: the package's own writer draws the metadata's order anew."""
    content = save(arrays, metadata)
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def read_tensor_file(path: Path, most: int) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the text of a file of at most ``most`` bytes.

    Raises:
        ValueError: it cannot be opened, is no plain file, larger, damaged, or of types that NumPy lacks.
    """
    try:
        with open_plain(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(most + 1) if size <= most else b""
    except (OSError, ValueError) as error:
        raise ValueError(str(error)[:200]) from error
    return parse_tensors(content, most, size)


def parse_tensors(content: bytes, most: int, size: int | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the text of such a file's content; ``size`` is the file's, where it was too large to be read.

    Raises:
        ValueError: it is larger than ``most`` bytes, damaged, or of types that NumPy lacks.
    """
    size = len(content) if size is None else size
    try:
        if not 8 < size <= most:
            raise ValueError(f"{size} bytes, where 9 to {most} are possible")
        metadata = _metadata(content)
        return load(content), metadata
    # KeyError: a dtype that NumPy lacks.
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)[:200]) from error


def _metadata(content: bytes) -> dict[str, str]:
    """The text in a safetensors file's header.

    Raises:
        ValueError: the header is larger than ours are, or not strict JSON.
    """
    (length,) = struct.unpack_from("<Q", content)
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"no safetensors file, or a header of {length} bytes, where {MAX_HEADER_BYTES} are possible")
    header = strict_json.parse(content[8 : 8 + length])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else {}
