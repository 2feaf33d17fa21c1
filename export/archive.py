"""What kind of file a checkpoint is, seen from its first bytes and its zip directory alone."""

import struct
import zipfile
from pathlib import Path

from ..errors import CheckpointError
from ..runtime.bundle.files import kind_of
from ..runtime.inspection import content_of

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


def check_archive(path: Path) -> None:
    """Look at the file's kind and its zip directory before anything is unpacked; PyTorch is not needed.

    Raises:
        CheckpointError: no file of PyTorch's, one of its other kinds, or one that unpacks to more than it holds.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a checkpoint", got=kind_of(path))
    try:
        content = content_of(path)
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}", got=error.strerror) from error
    if content in _OTHERS:
        raise CheckpointError(
            f"{path} is not a checkpoint",
            got=f"{content}, {path.stat().st_size} bytes",
            expected="a file that torch.save wrote",
            hint=_OTHERS[content],
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
        hint = "Download it again; it is cut short or of another kind."
        if content == "a pickle":
            hint = "It is from before PyTorch 1.6, which cannot be checked before it is unpacked: save it again."
        raise CheckpointError(f"{path} is not a checkpoint", got=error, expected="a zip file", hint=hint) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise CheckpointError(
            f"{path} is a TorchScript program, not a checkpoint", hint="Use the file that training saved."
        )
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    claimed = sum(entry.file_size for entry in entries)
    if packed or claimed > path.stat().st_size:
        raise bomb(path, f"{claimed} bytes from {path.stat().st_size}, {len(packed)} compressed entries")


def bomb(path: Path, got: str) -> CheckpointError:
    """The error of a file that would unpack to more than it holds."""
    return CheckpointError(
        f"{path} may unpack to more than it holds", got=got, expected="stored entries, as torch.save writes them"
    )
