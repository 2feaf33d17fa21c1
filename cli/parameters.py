"""Values of options that click has no type for."""

from typing import Any

import click

MAX_BATCH = 256


class BatchRange(click.ParamType):
    """``N`` or ``MIN:OPT:MAX``: the batches that an engine runs with."""

    name = "batch"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int, int]:
        parts = str(value).split(":")
        numbers = [int(part) for part in parts if part.isdecimal()]
        numbers = numbers * 3 if len(parts) == 1 else numbers
        if len(numbers) != 3 or not 1 <= numbers[0] <= numbers[1] <= numbers[2] <= MAX_BATCH:
            self.fail(f"{value!r} is not N or MIN:OPT:MAX, rising, from 1 to {MAX_BATCH}.", parameter, context)
        return numbers[0], numbers[1], numbers[2]


class CommaList(click.ParamType):
    """Words with commas between them."""

    name = "list"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, ...]:
        return tuple(word.strip() for word in str(value).split(",") if word.strip())


class Capabilities(CommaList):
    """Compute capabilities with commas between them, "89" or "8.9"."""

    name = "capabilities"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:  # type: ignore[override]
        words = [word.replace(".", "") for word in super().convert(value, parameter, context)]
        if not words or not all(word.isdecimal() and len(word) < 5 for word in words):
            self.fail(f"{value!r} is not a list such as 89,120.", parameter, context)
        return tuple(map(int, words))


class Box(click.ParamType):
    """Left, upper, right and lower edge of a box, with commas between them."""

    name = "box"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            edges = tuple(map(float, str(value).split(",")))
        except ValueError:
            edges = ()
        if len(edges) != 4:
            self.fail(f"{value!r} is not four numbers such as 120,80,360,340.", parameter, context)
        return edges


class Numbers(CommaList):
    """Whole numbers with commas between them, none below a least one or above the most."""

    name = "numbers"

    def __init__(self, least: int, most: int = 99_999) -> None:
        self._range = range(least, most + 1)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:  # type: ignore[override]
        if isinstance(value, tuple):
            return value
        words = super().convert(value, parameter, context)
        if not words or not all(word.isdecimal() and len(word) < 6 and int(word) in self._range for word in words):
            ends = f"from {self._range[0]} to {self._range[-1]}"
            self.fail(f"{value!r} is not a list of numbers {ends}, such as 1,4.", parameter, context)
        return tuple(dict.fromkeys(map(int, words)))
