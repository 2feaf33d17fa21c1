"""Values of options that click has no type for."""

import math
from pathlib import Path
from typing import Any

import click

MAX_BATCH = 256


class Real(click.FloatRange):
    """A number in a range: click's own takes NaN, which is in none."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number: float = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", parameter, context)
        return number


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


class Span(click.ParamType):
    """Two numbers with a colon between them, the second above the first: whole ones from 0, or any."""

    name = "span"

    def __init__(self, whole: bool) -> None:
        self._whole = whole

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        numbers = [number_in(word) for word in str(value).split(":")]
        fits = len(numbers) == 2 and None not in numbers and numbers[0] < numbers[1]  # type: ignore[operator]
        if not fits or (self._whole and not all(number >= 0 and number == int(number) for number in numbers)):  # type: ignore[operator,arg-type]
            self.fail(f"{value!r} is not a span such as {'9:11' if self._whole else '-3:3'}.", parameter, context)
        return tuple(map(int, numbers)) if self._whole else tuple(numbers)  # type: ignore[return-value,arg-type]


def number_in(word: str) -> float | None:
    """The number that a word is, if it is one and finite."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Assignment(click.ParamType):
    """``NAME=VALUE`` or ``NAME=FROM:TO:COUNT``: a direction, and the strengths to draw.

    With ``moving`` the second form is ``NAME=FROM:TO``, and both ends come back.
    """

    name = "strength"
    #: Pictures in a row.
    COUNTS = range(2, 65)

    def __init__(self, moving: bool = False) -> None:
        self._moving = moving

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, tuple[float, ...]]:
        if isinstance(value, tuple):
            return value
        name, _, text = str(value).partition("=")
        numbers = [number for number in map(number_in, text.split(":")) if number is not None]
        if name and len(numbers) == len(text.split(":")):
            if len(numbers) == 1 or (self._moving and len(numbers) == 2):
                return name, tuple(numbers)
            if not self._moving and len(numbers) == 3 and numbers[2] in self.COUNTS:
                first, last, count = numbers[0], numbers[1], int(numbers[2])
                return name, tuple(first + (last - first) * place / (count - 1) for place in range(count))
        example = "smile=-3:3" if self._moving else f"smile=-3:3:7, with {self.COUNTS[0]} to {self.COUNTS[-1]} pictures"
        self.fail(f"{value!r} is neither like smile=2.5 nor like {example}.", parameter, context)


class Named(click.ParamType):
    """``NAME=FILE``."""

    name = "file"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, Path]:
        if isinstance(value, tuple):
            return value
        name, _, file = str(value).partition("=")
        if not name or not file:
            self.fail(f"{value!r} is not like toonify=toonify.pt.", parameter, context)
        return name, Path(file)


class RowsOf(click.ParamType):
    """``FIRST:END=FILE``: rows of codes, and the inversion to take them from."""

    name = "rows"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[tuple[int, int], Path]:
        if isinstance(value, tuple):
            return value
        span, _, file = str(value).partition("=")
        if not file:
            self.fail(f"{value!r} is not like 8:14=other.inversion.", parameter, context)
        first, end = Span(whole=True).convert(span, parameter, context)
        return (int(first), int(end)), Path(file)
