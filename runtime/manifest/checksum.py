"""The checksum that `bundle.json` has of itself: a flip in it shows, as one in any other file of the bundle does.

It is SHA-256 over the file as it stands, with 64 zeros where the checksum stands.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from ...errors import BundleError
from .checks import wrong
from .strict_json import dump

FIELD = "checksum"
_BLANK = "0" * 64


def with_checksum(document: Mapping[str, Any]) -> str:
    """A document as the text of a file, its checksum in it."""
    return seal(dump({**document, FIELD: _BLANK}) + "\n")


def seal(text: str) -> str:
    """A document's text with its checksum in place of the zeros that it has there."""
    blank, digest = f'"{FIELD}": "{_BLANK}"', hashlib.sha256(text.encode()).hexdigest()
    return text.replace(blank, f'"{FIELD}": "{digest}"')


def check_checksum(content: bytes, stated: object) -> None:
    """Hold a file against the checksum that it states.

    Raises:
        BundleError: it is another, or none.
    """
    if not isinstance(stated, str) or len(stated) != len(_BLANK) or content.count(stated.encode()) != 1:
        raise wrong(FIELD, stated, "64 hexadecimal digits")
    digest = hashlib.sha256(content.replace(stated.encode(), _BLANK.encode())).hexdigest()
    if digest != stated:
        raise BundleError(
            "bundle.json is not as it was written",
            got=f"sha256 {digest[:12]}",
            expected=stated[:12],
            hint="Copy the bundle again, or export it again.",
        )
