"""Dataclasses from JSON values, read strictly: exactly the declared fields, of exactly the declared types."""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

#: Of a dataclass's field: it may be left out, and has its default then.
OPTIONAL: Mapping[str, bool] = {"optional": True}
#: Makes the error of a place in the document, for what was got and what was expected there.
Wrong = Callable[[str, object, object], Exception]


class Reader:
    """Builds values of declared types from what ``json.loads`` gave; ``wrong`` makes the errors that it raises."""

    def __init__(self, wrong: Wrong) -> None:
        self._wrong = wrong

    def read(self, kind: Any, value: Any, where: str) -> Any:
        """Build a value of the type ``kind``.

        Args:
            kind: a dataclass, bool, int, float, str, ``X | Y`` of such or None, ``Mapping[str, X]``, ``tuple[X, ...]``
                or ``tuple[X, Y]`` of such; ``Any`` takes everything.
            value: JSON values.
            where: the place to name in errors.

        Raises:
            What ``wrong`` makes: a field is missing, unknown or of another type.
        """
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self._read_option(get_args(kind), value, where)
        if origin is tuple:
            return self._read_tuple(get_args(kind), value, where)
        if origin is Mapping:
            items, item_kind = self._of_type(dict, value, where, "an object").items(), get_args(kind)[1]
            return {name: self.read(item_kind, item, f"{where}[{name}]") for name, item in items}
        return value if kind is Any else self._read_plain(kind, value, where)

    def _read_plain(self, kind: Any, value: Any, where: str) -> Any:
        if kind is float:
            return float(self._of_type((int, float), value, where, "a number"))
        if kind in (bool, int, str):
            return self._of_type(kind, value, where, f"a value of type {kind.__name__}")
        return self._read_dataclass(kind, value, where)

    def _read_option(self, kinds: tuple[Any, ...], value: Any, where: str) -> Any:
        """A value of one of several types: the one that it is, else the first is expected."""
        if value is None and type(None) in kinds:
            return None
        present = [kind for kind in kinds if kind is not type(None)]
        same = [kind for kind in present if type(value) is kind]
        return self.read((same or present)[0], value, where)

    def _read_dataclass(self, kind: Any, value: Any, where: str) -> Any:
        document = self._of_type(dict, value, where, "an object")
        left_out = {field.name for field in fields(kind) if field.metadata == OPTIONAL} - set(document)
        hints = {name: hint for name, hint in _hints(kind).items() if name not in left_out}
        if set(document) != set(hints):
            missing, unknown = sorted(set(hints) - set(document)), sorted(set(document) - set(hints))
            raise self._wrong(where, f"missing {missing}, unknown {unknown}", "exactly the fields of the schema")
        return kind(**{name: self.read(hint, document[name], f"{where}.{name}") for name, hint in hints.items()})

    def _read_tuple(self, kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
        items = self._of_type(list, value, where, "a list")
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(items)
        if len(items) != len(kinds):
            raise self._wrong(where, f"{len(items)} entries", len(kinds))
        return tuple(
            self.read(kind, item, f"{where}[{row}]") for row, (kind, item) in enumerate(zip(kinds, items, strict=True))
        )

    def _of_type(self, kind: Any, value: Any, where: str, expected: str) -> Any:
        # bool is an int to Python, not to a schema.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(where, repr(value)[:80], expected)
        return value


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
