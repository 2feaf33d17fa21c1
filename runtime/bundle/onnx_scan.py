"""A graph read without the onnx package, before any backend reads it: the files it names, the operators it has."""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import NamedTuple

from ...errors import BundleError
from .operators import OPERATORS

# Wire types of protobuf.
_NUMBER, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_WIDTHS = {_DOUBLE: 8, _FLOAT: 4}
# Message -> wire type -> fields of it that onnx.proto has; their numbers are the same in every version of the format.
_FIELDS: dict[str, dict[int, set[int]]] = {
    "model": {_NUMBER: {1, 5}, _BYTES: {2, 3, 4, 6, 7, 8, 14}},
    "graph": {_BYTES: {1, 2, 5, 10, 11, 12, 13, 14, 15, 16}},
    "node": {_BYTES: {1, 2, 3, 4, 5, 6, 7, 8, 9}},
    "attribute": {_NUMBER: {3, 8, 20}, _FLOAT: {2, 7}, _BYTES: {1, 4, 5, 7, 8, 9, 10, 13, 14, 15, 21, 22, 23}},
    "sparse": {_NUMBER: {3}, _BYTES: {1, 2, 3}},
    "tensor": {_NUMBER: {1, 2, 5, 7, 11, 14}, _FLOAT: {4}, _DOUBLE: {10}, _BYTES: {1, *range(4, 14), 16}},
    "entry": {_BYTES: {1, 2}},
}
# Message -> {field number: message below it}, of those that lead to nodes and to files.
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
# The largest graphs, gradients of published models, have some tens of thousands.
_MAX_FIELDS = 250_000
_MAX_TAG = (1 << 32) - 1


class _Field(NamedTuple):
    """A field of a protobuf message: its number, its wire type, its value's bytes."""

    number: int
    wire: int
    value: memoryview


def scan_graph(content: bytes, also: Collection[str] = ()) -> set[str]:
    """The ``location`` of every tensor that keeps its values outside the graph.

    Other readers must not see other files or operators: encodings that protobuf's writers never make, and fields that
    ONNX does not have, are refused, since readers differ in what they take them for.

    Args:
        content: the graph's file.
        also: operators of ONNX that it may have besides `OPERATORS`.

    Raises:
        BundleError: the bytes are no ONNX graph, are encoded as no writer does, or the graph has an operator that it
            may not have.
    """
    locations: set[str] = set()
    pending: list[tuple[str, memoryview]] = [("model", memoryview(content))]
    left = _MAX_FIELDS
    while pending:
        kind, message = pending.pop()
        fields = list(islice(_fields(message), left + 1))
        left -= len(fields)
        if left < 0:
            raise BundleError("A graph of the bundle has too many parts", expected=f"at most {_MAX_FIELDS:,}")
        for field in fields:
            _check_field(kind, field)
        if kind == "entry":
            entry = {field.number: bytes(field.value) for field in fields}
            if entry.get(1) == b"location":
                locations.add(entry.get(2, b"").decode(errors="backslashreplace"))
        if kind == "node":
            _check_operator(fields, also)
        pending += [(_BELOW[kind][field.number], field.value) for field in fields if field.number in _BELOW[kind]]
    return locations


def _check_field(kind: str, field: _Field) -> None:
    if (kind, field.number) in _REFUSED:
        raise BundleError("A graph of the bundle is more than a graph", got=_REFUSED[kind, field.number])
    if field.number not in _FIELDS[kind].get(field.wire, ()):
        raise BundleError("A graph of the bundle is not ONNX", got=f"field {field.number} in a {kind}")


def _check_operator(fields: list[_Field], also: Collection[str]) -> None:
    names, domains = ([bytes(field.value) for field in fields if field.number == number] for number in (4, 7))
    name, domain = (b"/".join(values).decode(errors="backslashreplace") for values in (names, domains))
    domain = "" if domain == "ai.onnx" else domain
    known = name in OPERATORS.get(domain, ()) or (not domain and name in also)
    if len(names) != 1 or len(domains) > 1 or not known:
        raise BundleError(
            "A graph of the bundle has an operator that no export writes",
            got=f"{domain}::{name}" if domain else name,
            expected="operators that end by themselves and make nothing large from little",
        )


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a protobuf message.

    Raises:
        BundleError: it is none, or is encoded as no writer does.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if not 8 <= tag <= _MAX_TAG:
            raise BundleError("A graph of the bundle is not ONNX", got="the number of a field that cannot be")
        value = at
        if wire == _BYTES:
            length, value = _varint(message, at)
            at = value + length
        elif wire in _WIDTHS:
            at += _WIDTHS[wire]
        elif wire == _NUMBER:
            _, at = _varint(message, at)
        else:
            raise BundleError("A graph of the bundle is not ONNX", got=f"wire type {wire}")
        if at > len(message):
            raise BundleError("A graph of the bundle is not ONNX", got="a field past the end")
        yield _Field(tag >> 3, wire, message[value:at])


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
