"""The pickle of a checkpoint, read as plain values and descriptions of tensors. Nothing in it runs or imports.

Python's own unpickler calls what a pickle names; PyTorch's lets a few names through, some of which can be asked for
gigabytes. This one knows the opcodes and the names that ``torch.save`` writes for tensors and plain values, and those
of StyleGAN2-ADA's whole modules: such a module carries its class as source, which is text here and is dropped.
"""

import argparse
import mmap
import pickletools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..runtime.bundle.files import open_plain

#: Largest pickle that is looked at, in bytes; that of a published checkpoint has about 0.3 MB.
MAX_BYTES = 16 << 20
#: Most opcodes, most values as a reader meets them (one that stands in two places counts twice), deepest nesting.
MAX_OPCODES, MAX_VALUES, MAX_DEPTH = 1_000_000, 1_000_000, 64
_INT64 = 1 << 63
#: Opcodes of each of the four pickles in front of a storage's numbers in a plain pickle.
_MOST_INNER = 1000
#: What makes a storage of the bytes that `torch.save` wrote of it before PyTorch 1.6; how these begin; their version.
_LOAD = "torch.storage _load_from_bytes"
_MAGIC, _VERSION = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", 1001
#: Types of storages by name, as ``torch.dtype``s are called.
STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
#: What to do about files that name what is not read here; and where StyleGAN2's first, TensorFlow's, begin with.
_SAVE_AGAIN = "Save it again from the program that made it, with plain values in its options."
_CONVERT = "It is of StyleGAN2's TensorFlow code: convert it, where you trust it, with rosinality's convert_weight.py."
_TENSORFLOW = "dnnlib.tflib."
_DTYPES = {*STORAGES.values(), "complex64", "complex128", "float", "half", "double", "long", "int"}


@dataclass(frozen=True)
class StoredStorage:
    """The record ``key`` of the archive as ``numel`` numbers of a type."""

    dtype: str
    key: str
    numel: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the pickle describes it; nothing is checked yet."""

    storage: StoredStorage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Unread:
    """A value that a checkpoint may hold and nobody here needs, in words."""

    what: str


@dataclass(frozen=True)
class StoredModule:
    """A module of StyleGAN2-ADA's ``torch_utils.persistence``: its class's name and its attributes, as they stand."""

    kind: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class _Name:
    """What a pickle names: `module name`."""

    text: str


def read_pickle(data: bytes, path: Path) -> Any:
    """Read a pickle.

    Args:
        data: the pickle.
        path: the file that it is from, for messages.

    Returns:
        None, bool, int (64 bits), float, complex, str, bytes, tuple, list, dict, set, ``argparse.Namespace`` of such,
        `StoredTensor`, `StoredModule`, `Unread`. A parameter is its tensor, an ordered dictionary is a dictionary.

    Raises:
        CheckpointError: it names anything else, is damaged, or would cost more than it should.
    """
    if len(data) > MAX_BYTES:
        raise _costs_too_much(path, f"a pickle of {len(data)} bytes")
    return _value_of(_Machine(path), data)


@dataclass(frozen=True)
class PlainPickle:
    """A file that is a pickle and nothing else, with its tensors' numbers inside; ``record`` as an archive's."""

    path: Path
    storages: dict[str, bytearray] = field(default_factory=dict)

    def record(self, name: str) -> memoryview:
        """The bytes of a storage."""
        return memoryview(self.storages[name])


def read_plain_pickle(path: Path) -> tuple[PlainPickle, Any]:
    """Read a file that is a pickle, as StyleGAN2-ADA publishes its networks.

    Returns:
        Its storages, and the same values as ``read_pickle``'s.

    Raises:
        CheckpointError: as ``read_pickle``, or it cannot be opened.
    """
    found = PlainPickle(path)
    try:
        with open_plain(path) as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return found, _value_of(_Machine(path, found.storages, len(mapped)), mapped)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"Cannot read {path}", got=getattr(error, "strerror", None) or error) from error


def _value_of(machine: "_Machine", data: "bytes | mmap.mmap") -> Any:
    path = machine.path
    try:
        value = machine.run(data)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error) as error:
        text = str(error) or type(error).__name__
        raise CheckpointError(
            f"Cannot read {path}", got=text[:200], hint="It is damaged: download it again."
        ) from error
    _check_extent(value, path)
    return value


class _Machine:
    """The pickle machine: a stack, marks in it, and the memo.

    Args:
        path: the file, for messages.
        storages: where those go that the pickle has inside; None where they are beside it.
        room: bytes that these may take together, the file's own size.
        most: opcodes.
    """

    def __init__(
        self, path: Path, storages: dict[str, bytearray] | None = None, room: int = 0, most: int = MAX_OPCODES
    ) -> None:
        self.path, self.storages, self.room, self.most = path, storages, room, most
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self, data: "bytes | mmap.mmap | BytesIO") -> Any:
        """The one value that the pickle leaves; a stream is then at its end."""
        # A map of a file reads as a file does.
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # type: ignore[arg-type]
            if count > self.most:
                raise _costs_too_much(self.path, f"more than {self.most} opcodes")
            if opcode.name == "STOP":
                (value,) = self.stack
                return value
            self.step(opcode.name, argument)
        raise ValueError("the pickle has no end")

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one opcode."""
        if opcode in _VALUES:
            self.push(argument)
        elif opcode in _CONSTANTS:
            self.push(_CONSTANTS[opcode]())
        elif opcode in _PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif opcode in _GETS:
            self.push(self.memo[argument])
        elif opcode in _TUPLES:
            count = _TUPLES[opcode]
            values = tuple(self.stack[len(self.stack) - count :])
            if len(values) != count:
                raise ValueError("the pickle takes more than it has")
            del self.stack[len(self.stack) - count :]
            self.push(values)
        elif opcode not in ("PROTO", "FRAME"):
            if opcode not in _STEPS:
                raise ValueError(f"opcode {opcode}, which torch.save does not write")
            _STEPS[opcode](self, argument)

    def push(self, value: Any) -> None:
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise ValueError("an integer of more than 64 bits")
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Take what was pushed since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        if len(self.stack) < start:
            raise ValueError("the pickle takes more than it has")
        del self.stack[start:]
        return values

    def name(self, text: str) -> None:
        """Push a name, if it is known."""
        if text not in _KNOWN and not (text == _LOAD and self.storages is not None):
            raise CheckpointError(
                f"{self.path} asks for Python code to be run",
                got=text.replace(" ", ".")[:200],
                expected="tensors, numbers, strings, lists, dicts and argparse.Namespace",
                hint=_CONVERT if text.startswith(_TENSORFLOW) else _SAVE_AGAIN,
            )
        dtype = text.removeprefix("torch ")
        self.push(f"torch.{dtype}" if text.startswith("torch ") and dtype in _DTYPES else _Name(text))

    def call(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if isinstance(name, _Name) and name.text == _LOAD and isinstance(arguments, tuple):
            self.push(self.storage(*arguments))
            return
        if not isinstance(name, _Name) or name.text not in _CALLS or not isinstance(arguments, tuple):
            raise ValueError("a call of what is no function")
        self.charge(arguments)
        self.push(_CALLS[name.text](*arguments))

    def charge(self, values: Sequence[Any]) -> None:
        """Account for what is about to be copied: the same large list may be asked for again and again."""
        self.copied += sum(len(value) for value in values if isinstance(value, Sized))
        if self.copied > MAX_BYTES:
            raise _costs_too_much(self.path, "the same values copied many times over")

    def storage(self, content: Any) -> StoredStorage:
        """A storage out of its bytes: magic number, version, machine, what it is, its key; and its numbers."""
        if not isinstance(content, bytes) or not content.startswith(_MAGIC) or self.storages is None:
            raise ValueError("a storage in an unknown form")
        self.room -= len(content)
        if self.room < 0:
            raise _costs_too_much(self.path, "the same numbers many times over")
        stream = BytesIO(content)
        stream.seek(len(_MAGIC))
        version, _, stored, keys = (_Machine(self.path, most=_MOST_INNER).run(stream) for _ in range(4))
        if version != _VERSION or not isinstance(stored, StoredStorage) or keys != [stored.key]:
            raise ValueError("a storage in an unknown form")
        if struct.unpack("<q", stream.read(8)) != (stored.numel,):
            raise ValueError("a storage of another length than it says")
        key = str(len(self.storages))
        self.storages[f"data/{key}"] = bytearray(stream.read())
        return replace(stored, key=key)

    def persistent(self) -> None:
        """A storage, which lies beside the pickle: ("storage", its type, its key, where it was, how many numbers)."""
        kind, storage, key, _, numel, *view = self.stack.pop()
        if view not in ([], [None]):
            raise ValueError("a view of a storage")
        if kind != "storage" or not isinstance(storage, _Name) or not isinstance(key, str):
            raise ValueError("an external value that is no storage")
        dtype = STORAGES.get(storage.text.removeprefix("torch "))
        if dtype is None or type(numel) is not int or numel < 0:
            raise ValueError("a storage of an unknown kind")
        self.push(StoredStorage(dtype, key, numel))

    def build(self) -> None:
        """Give an object its attributes: of dictionaries they are nobody's business (``_metadata`` of modules)."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, argparse.Namespace):
            self.charge((state,))
            _set(vars(target), [item for pair in state.items() for item in pair])
        elif not isinstance(target, dict | StoredTensor | Unread):
            raise ValueError("attributes of a plain value")

    def set_items(self, values: Sequence[Any]) -> None:
        _set(self.stack[-1], values)

    def append(self, values: Sequence[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items of what is no list")
        self.stack[-1].extend(values)

    def add(self, values: Sequence[Any]) -> None:
        self.stack[-1].update(map(_key, values))


def _set(target: Any, values: Sequence[Any]) -> None:
    if not isinstance(target, dict) or len(values) % 2:
        raise ValueError("items of what is no dictionary")
    target.update((_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True))


def _key(value: Any) -> Any:
    """A key of a dictionary: to hash a tuple that holds itself many times over would take for ever."""
    if not isinstance(value, str | bytes | int | float | None):
        raise ValueError(f"a key that is a {type(value).__name__}")
    return value


# What a pickle may call; each makes at most a copy of what it is given.


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, StoredStorage) or any(type(number) is not int for number in numbers):
        raise ValueError("a tensor without a storage or a shape")
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _dictionary(*pairs: Any) -> dict[Any, Any]:
    answer: dict[Any, Any] = {}
    _set(answer, [item for pair in (pairs[0] if pairs else ()) for item in _pair(pair)])
    return answer


def _pair(pair: Any) -> tuple[Any, Any]:
    key, value = pair
    return key, value


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise ValueError("a device without a name")
    return kind if index is None else f"{kind}:{index}"


def _module(meta: Any) -> StoredModule:
    """What ``persistent_class`` leaves of an object: type, version, module_src, class_name and state."""
    kind, attributes = meta["class_name"], meta["state"]
    if not isinstance(kind, str) or not isinstance(attributes, dict):
        raise ValueError("a module without a class or attributes")
    return StoredModule(kind, attributes)


def _bytes(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes. Other encodings can take minutes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("text in an encoding that torch.save does not use")
    return text.encode("latin1")


_CALLS: Mapping[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils _rebuild_sparse_tensor": lambda *_: Unread("a sparse tensor"),
    "torch._utils _rebuild_meta_tensor_no_storage": lambda *_: Unread("a meta tensor, without data"),
    "torch.serialization _get_layout": lambda *_: Unread("a layout"),
    "torch Size": lambda sizes=(): tuple(sizes),
    "torch device": _device,
    "collections OrderedDict": _dictionary,
    "argparse Namespace": argparse.Namespace,
    "_codecs encode": _bytes,
    "torch_utils.persistence _reconstruct_persistent_obj": _module,
    "dnnlib.util EasyDict": _dictionary,
    **{
        f"{module} {flavour}Path": lambda *_: Unread("a path")
        for module in ("pathlib", "pathlib._local")
        for flavour in ("Posix", "Windows", "PurePosix", "PureWindows")
    },
    # Gains of StyleGAN2-ADA's layers are NumPy's numbers.
    "numpy dtype": lambda *_: Unread("a NumPy type"),
    **{f"numpy.{core}.multiarray scalar": lambda *_: Unread("a NumPy number") for core in ("core", "_core")},
    **{f"{module} bytes": lambda: b"" for module in ("builtins", "__builtin__")},
    **{f"{module} set": lambda items=(): set(map(_key, items)) for module in ("builtins", "__builtin__")},
    **{f"{module} complex": complex for module in ("builtins", "__builtin__")},
}
_KNOWN = {*_CALLS, *(f"torch {name}" for name in (*STORAGES, *_DTYPES))}

_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _stack_name(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(f"{module} {name}")


_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": lambda m, _: m.push(_dictionary(_pairs(m.since_mark()))),
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "ADDITEMS": lambda m, _: m.add(m.since_mark()),
    "GLOBAL": lambda m, text: m.name(text),
    "STACK_GLOBAL": _stack_name,
    "BINPERSID": lambda m, _: m.persistent(),
    "REDUCE": lambda m, _: m.call(),
    "NEWOBJ": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}


def _pairs(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(values[::2], values[1::2], strict=True)


def _check_extent(value: Any, path: Path) -> None:
    """Count values as whoever walks through them would: the same list in two places is met twice."""
    seen, level = 0, [value]
    for _ in range(MAX_DEPTH):
        seen += len(level)
        if seen > MAX_VALUES:
            raise _costs_too_much(path, "values that hold each other many times over")
        level = list(islice(chain.from_iterable(map(_inside, level)), MAX_VALUES + 1))
        if not level:
            return
    raise _costs_too_much(path, f"values more than {MAX_DEPTH} deep")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, StoredModule):
        value = value.attributes
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _costs_too_much(path: Path, got: str) -> CheckpointError:
    return CheckpointError(
        f"{path} would unpack to far more than it is", got=got, hint="No training writes such a file: do not trust it."
    )
