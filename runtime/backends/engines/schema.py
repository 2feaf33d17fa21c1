"""Dataclasses from JSON values, read strictly: exactly the declared fields, of exactly the declared types."""

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from ....errors import EngineError


def read(kind: Any, value: Any, where: str) -> Any:
    """Build a value of the type ``kind`` from JSON values.

    Args:
        kind: a dataclass, bool, int, float, str, ``X | None``, ``Mapping[str, X]``, ``tuple[X, ...]`` or
            ``tuple[X, Y]`` of such.
        value: what ``json.loads`` gave.
        where: the place to name in errors.

    Raises:
        EngineError: a field is missing, unknown or of another type.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (option for option in get_args(kind) if option is not type(None))
        return None if value is None else read(inner, value, where)
    if origin is tuple:
        return _read_tuple(get_args(kind), value, where)
    if origin is Mapping:
        items = _of_type(dict, value, where, "an object").items()
        return {name: read(get_args(kind)[1], item, f"{where}[{name}]") for name, item in items}
    if kind is float:
        return float(_of_type((int, float), value, where, "a number"))
    if kind in (bool, int, str):
        return _of_type(kind, value, where, f"a value of type {kind.__name__}")
    return _read_dataclass(kind, value, where)


def _read_dataclass(kind: Any, value: Any, where: str) -> Any:
    document = _of_type(dict, value, where, "an object")
    names = {field.name for field in fields(kind)}
    if set(document) != names:
        missing, unknown = sorted(names - set(document)), sorted(set(document) - names)
        raise wrong(where, f"missing {missing}, unknown {unknown}", "exactly the fields of the schema")
    hints = get_type_hints(kind)
    return kind(**{name: read(hints[name], document[name], f"{where}.{name}") for name in names})


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _of_type(list, value, where, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if len(items) != len(kinds):
        raise wrong(where, f"{len(items)} entries", len(kinds))
    return tuple(read(kind, item, f"{where}[{row}]") for row, (kind, item) in enumerate(zip(kinds, items, strict=True)))


def _of_type(kind: Any, value: Any, where: str, expected: str) -> Any:
    # bool is an int to Python, not to a schema.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise wrong(where, repr(value)[:80], expected)
    return value


def wrong(where: str, got: object, expected: object) -> EngineError:
    """The error of a record's field."""
    return EngineError(
        f"{where} is wrong", got=got, expected=expected, hint="Delete the file, then build the engines again."
    )
