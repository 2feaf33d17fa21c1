"""A graph read without the onnx package, before any backend reads it: the files it names, the operators it has."""

from collections.abc import Collection, Iterator

from ...errors import BundleError
from .operators import OPERATORS

# Message -> {field number: message below it}; onnx.proto numbers, the same in every version of the format.
_BELOW: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
# What could hold nodes besides the one graph.
_REFUSED = {
    ("model", 20): "training information",
    ("model", 25): "functions",
    ("attribute", 6): "a graph inside a node",
    ("attribute", 11): "graphs inside a node",
}
#: A published model's largest graph has some ten thousand.
_MAX_MESSAGES = 200_000
_MAX_TAG = (1 << 32) - 1


def scan_graph(content: bytes, also: Collection[str] = ()) -> set[str]:
    """The ``location`` of every tensor that keeps its values outside the graph.

    Other readers must not see other files or operators: encodings that protobuf's writers never make are refused, since
    readers differ in what they take them for.

    Args:
        content: the graph's file.
        also: operators of ONNX that it may have besides `OPERATORS`.

    Raises:
        BundleError: the bytes are no ONNX graph, are encoded as no writer does, or the graph has an operator that it
            may not have.
    """
    locations: set[str] = set()
    pending: list[tuple[str, memoryview]] = [("model", memoryview(content))]
    messages = 0
    while pending:
        kind, message = pending.pop()
        messages += 1
        if messages > _MAX_MESSAGES:
            raise BundleError("A graph of the bundle has too many parts", expected=f"at most {_MAX_MESSAGES:,}")
        fields = list(_fields(message))
        if kind == "entry":
            entry = {number: bytes(value) for number, value in fields}
            if entry.get(1) == b"location":
                locations.add(entry.get(2, b"").decode(errors="backslashreplace"))
        if kind == "node":
            _check_operator(fields, also)
        for number, value in fields:
            if (kind, number) in _REFUSED:
                raise BundleError("A graph of the bundle is more than a graph", got=_REFUSED[kind, number])
            if number in _BELOW[kind]:
                pending.append((_BELOW[kind][number], value))
    return locations


def _check_operator(fields: list[tuple[int, memoryview]], also: Collection[str]) -> None:
    names, domains = ([bytes(value) for number, value in fields if number == field] for field in (4, 7))
    name, domain = (b"/".join(values).decode(errors="backslashreplace") for values in (names, domains))
    domain = "" if domain == "ai.onnx" else domain
    known = name in OPERATORS.get(domain, ()) or (not domain and name in also)
    if len(names) != 1 or len(domains) > 1 or not known:
        raise BundleError(
            "A graph of the bundle has an operator that no export writes",
            got=f"{domain}::{name}" if domain else name,
            expected="operators that end by themselves and make nothing large from little",
        )


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a protobuf message; numbers are skipped."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if not 8 <= tag <= _MAX_TAG:
            raise BundleError("A graph of the bundle is not ONNX", got="the number of a field that cannot be")
        if wire == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise BundleError("A graph of the bundle is not ONNX", got="a field past the end")
            yield tag >> 3, message[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 0:
            _, at = _varint(message, at)
        else:
            raise BundleError("A graph of the bundle is not ONNX", got=f"wire type {wire}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            if value >= 1 << 64 or (shift and not message[at - 1]):
                break
            return value, at
    raise BundleError("A graph of the bundle is not ONNX", got="a damaged number")
