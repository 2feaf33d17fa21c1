"""A pivot that a user gives PTI: codes that another method, or another program, has found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InversionError
from ..manifest.manifest import Manifest
from .files import open_plain
from .inversion import Inversion

#: Far more than the codes of any generator.
MAX_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Pivot:
    """Codes [styles, width] float32, and the seconds that it took to find them, if their file says so."""

    codes: NDArray[np.float32]
    seconds: float | None = None


def read_pivot(path: Path, manifest: Manifest) -> Pivot:
    """The codes of an inversion of this model, by whatever method, or of a .npy file.

    A .npy file holds numbers [styles, width], or a code of W [width], which all rows share; an axis of 1 may stand in
    front. Of an inversion nothing but the codes is taken: a HyperStyle's weights stay behind.

    Raises:
        InversionError: it cannot be read, belongs to another model, or holds no such codes.
    """
    if path.suffix != ".npy":
        inversion = Inversion.load(path)
        if inversion.model != manifest.model:
            raise InversionError(
                f"The pivot {path} belongs to another model", got=inversion.model[:12], expected=manifest.model[:12]
            )
        return Pivot(inversion.codes, inversion.seconds)
    codes = _read_array(path)
    styles, width = manifest.generator.styles, manifest.generator.width
    flat = codes[0] if codes.ndim > 1 and codes.shape[0] == 1 else codes
    if flat.shape not in ((width,), (styles, width)) or not np.isfinite(codes).all():
        raise InversionError(
            f"The pivot {path} does not fit",
            got=f"{codes.dtype} {list(codes.shape)}",
            expected=f"finite codes [{styles}, {width}], or a code [{width}]",
        )
    return Pivot(np.ascontiguousarray(np.broadcast_to(flat, (styles, width))))


def _read_array(path: Path) -> NDArray[np.float32]:
    """The numbers of a .npy file, which can hold Python objects, too: those are not read."""
    try:
        with open_plain(path) as stream:
            content = stream.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            stream.seek(0)
            array = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InversionError(f"Cannot read the pivot {path}", got=str(error)[:200]) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise InversionError(f"The pivot {path} holds no numbers", expected="floating point")
    return array.astype(np.float32)
