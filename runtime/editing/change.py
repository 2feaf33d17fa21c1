"""What changes a person's codes, and edits, which are changes with their strengths."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import DirectionError
from ..bundle.inversion import Inversion
from ..manifest.manifest import Manifest

#: W+ codes [styles, width] float32, or rows like them.
Codes: TypeAlias = NDArray[np.float32]
#: A number for every channel of every layer's style [channels] float32, in the order of the layers; or rows of such.
Styles: TypeAlias = NDArray[np.float32]
#: Beyond it no code is anything that a generator was trained on.
MAX_STRENGTH = 100.0


class Change(ABC):
    """Adds something to codes, more or less of it; ``name`` is what it is called in files and errors."""

    name: str

    @abstractmethod
    def delta(self, codes: Codes, strength: float) -> Codes:
        """What it adds to a person's own codes [styles, width], of the same shape."""

    def style_delta(self, strength: float) -> Styles | None:
        """What it adds to the styles of all layers [channels]; None of what moves codes alone."""
        return None

    @abstractmethod
    def check(self, manifest: Manifest) -> None:
        """See that it belongs to a bundle.

        Raises:
            DirectionError: it is of another model or shape.
            InversionError: the same of an inversion that is mixed in.
        """


@dataclass(frozen=True, eq=False)
class Mix(Change):
    """Rows of another person's codes, from the first to before the end: ``strength * (theirs - own)``, all at 1."""

    other: Inversion
    rows: tuple[int, int]
    name: str = "mix"

    def delta(self, codes: Codes, strength: float) -> Codes:
        rows = slice(*self.rows)
        added = np.zeros_like(codes)
        added[rows] = np.float32(strength) * (self.other.codes[rows] - codes[rows])
        return added

    def check(self, manifest: Manifest) -> None:
        self.other.check_model(manifest)
        first, end = self.rows
        if not 0 <= first < end <= manifest.generator.styles:
            raise DirectionError(
                "The rows to mix are not those of the codes",
                got=f"{first}:{end}",
                expected=f"FIRST:END inside 0:{manifest.generator.styles}",
            )


#: Changes with their strengths, all at once.
Edit: TypeAlias = Mapping[Change, float]
#: The same where a bundle's directions may be called by their names (a mapping of either, or of both).
NamedEdit: TypeAlias = Mapping[Any, float]


def edited_codes(codes: Codes, edits: Sequence[Edit]) -> Codes:
    """One person's codes [styles, width] after each edit, [N, styles, width].

    Every change looks at the person's own codes and the sum is added, so their order does not matter.
    """
    return np.stack(
        [sum((change.delta(codes, strength) for change, strength in edit.items()), start=codes) for edit in edits]
    )


def edited_styles(edits: Sequence[Edit]) -> Styles | None:
    """What each edit adds to a person's styles, [N, channels]; None if no edit adds anything."""
    added = [
        [delta for change, strength in edit.items() if (delta := change.style_delta(strength)) is not None]
        for edit in edits
    ]
    like = next((delta for deltas in added for delta in deltas), None)
    if like is None:
        return None
    return np.stack([sum(deltas, start=np.zeros_like(like)) for deltas in added])


def check_strength(name: str, strength: float) -> float:
    """The strength, if it is one.

    Raises:
        DirectionError: it is no number, or out of range.
    """
    if isinstance(strength, bool) or not isinstance(strength, (int, float, np.number)):
        raise DirectionError(f"The strength of {name} is no number", got=type(strength).__name__)
    if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH:
        raise DirectionError(
            f"The strength of {name} is out of range", got=strength, expected=f"-{MAX_STRENGTH:g} to {MAX_STRENGTH:g}"
        )
    return float(strength)
