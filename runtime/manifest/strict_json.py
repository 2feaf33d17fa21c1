"""JSON as it comes in and as it goes out: nothing in it that two readers could take for two things."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

#: How deep lists and objects may nest; our own documents need eight.
MAX_DEPTH = 32
#: Digits of a whole number that readers keep whose numbers are all doubles; sizes of files have fewer.
MAX_DIGITS = 15


def parse(content: bytes) -> Any:
    """The values of a JSON document.

    Raises:
        ValueError: not UTF-8 or not JSON; a key twice in one object, NaN or Infinity, a number beyond those of a double
            or of more than 15 digits, half a surrogate pair, or lists and objects nested more than 32 deep.
    """
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check(value)
    return value


def dump(document: Any) -> str:
    """A document as text, indented.

    Raises:
        ValueError: NaN or an infinity in it, which JSON has not: a mistake of who made it.
    """
    return json.dumps(document, indent=1, allow_nan=False)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name[:40]!r} stands twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is beyond the numbers of a double")
    return value


def _short(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _check(value: Any) -> None:
    """See that nothing nests too deeply, and that all text can be written again."""
    pending = [(value, 0)]
    while pending:
        each, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        if isinstance(each, str):
            each.encode()  # UnicodeEncodeError, a ValueError: half a surrogate pair
        elif isinstance(each, dict):
            pending += [(part, depth + 1) for pair in each.items() for part in pair]
        elif isinstance(each, list):
            pending += [(part, depth + 1) for part in each]
