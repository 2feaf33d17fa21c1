"""The external files that an ONNX graph names, read without the onnx package, before any backend follows them."""

from collections.abc import Iterator

from ...errors import BundleError

# Message -> {field number: message below it}; onnx.proto numbers, the same in every version of the format.
_BELOW: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_MAX_DEPTH = 100  # protobuf's own limit
#: A published model's largest graph has some ten thousand.
_MAX_MESSAGES = 200_000
_MAX_TAG = (1 << 32) - 1


def external_locations(content: bytes) -> set[str]:
    """The ``location`` of every tensor that keeps its values outside the graph, sub-graphs and functions included.

    Other readers must not see other files: encodings that protobuf's writers never make are refused, since readers
    differ in what they take them for.

    Raises:
        BundleError: the bytes are no ONNX graph, or encoded as no writer does.
    """
    locations: set[str] = set()
    pending: list[tuple[str, memoryview, int]] = [("model", memoryview(content), 0)]
    messages = 0
    while pending:
        kind, message, depth = pending.pop()
        messages += 1
        if messages > _MAX_MESSAGES:
            raise BundleError("A graph of the bundle has too many parts", expected=f"at most {_MAX_MESSAGES:,}")
        if depth > _MAX_DEPTH:
            raise BundleError("A graph of the bundle is nested too deeply")
        if kind == "entry":
            entry = {number: bytes(value) for number, value in _fields(message)}
            if entry.get(1) == b"location":
                locations.add(entry.get(2, b"").decode(errors="backslashreplace"))
            continue
        below = _BELOW[kind]
        pending += [(below[number], value, depth + 1) for number, value in _fields(message) if number in below]
    return locations


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
