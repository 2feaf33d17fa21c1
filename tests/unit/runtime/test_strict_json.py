"""Strict JSON: what two readers could take for two things is refused, and never written."""

import time

import pytest

from hyperstyle_deploy.runtime.manifest.strict_json import MAX_DEPTH, dump, parse


def test_sound_documents_are_read_as_they_are_written() -> None:
    document = {"a": [1, -2.5, "\u2603 \U0001f600", None, True], "b": {"c": {}}, "d": 123456789012345}
    assert parse(dump(document).encode()) == document


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'[{"a": {"b": 1, "b": 1}}]', "'b' stands twice"),
        (b"NaN", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"1e999", "beyond the numbers of a double"),
        (b"[" + b"9" * 16 + b"]", "16 digits"),
        (b"9" * 5000, "5000 digits"),
        (b'"\\ud800"', "surrogates"),
        (b'{"\\udfff": 1}', "surrogates"),
        (b"\xff", "utf-8"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), "nested"),
        (b"[" * 100_000, "nested"),
        (b"{'a': 1}", "property name"),
        (b"", "Expecting value"),
        (b"1 2", "Extra data"),
    ],
)
def test_what_is_ambiguous_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(content)


def test_a_key_that_stands_twice_is_found_soon() -> None:
    """However many others stand before it."""
    keys = ",".join(f'"{number}":0' for number in range(40_000))
    started = time.monotonic()
    with pytest.raises(ValueError, match="'z' stands twice"):
        parse(f'{{{keys},"z":1,"z":2}}'.encode())
    assert time.monotonic() - started < 10


def test_what_json_lacks_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump({"a": float("nan")})
