"""What a user may set of an optimisation."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import ArrayError

#: Learning rates that make sense; Adam moves every number by about so much a step.
RATE_LIMITS = (1e-7, 10.0)


@dataclass(frozen=True, eq=False)
class Settings:
    """What a user may set of an optimisation; None is the method's own.

    Attributes:
        seed: of everything that is drawn, 0 or more.
        rate: the learning rate, before the schedule.
        space: "w" for one code that all rows share, "w+" for a code each; of projection.
        locality: tune with PTI's regulariser, for a little more time a step; of bundles that have its graph.
        pivot: codes [styles, width] that tuning leaves as they are, in place of the bundle's own method's.
        loss: weights of terms of the loss by name, in place of the bundle's.
        until_lpips: stop a photo whose LPIPS has come down to it; of bundles whose loss has that term.
    """

    seed: int = 0
    rate: float | None = None
    space: str = "w+"
    locality: bool = False
    pivot: NDArray[np.float32] | None = None
    loss: Mapping[str, float] = field(default_factory=dict)
    until_lpips: float | None = None

    def told(self) -> str:
        """All of it in one line, the same for the same settings."""
        pivot = "own" if self.pivot is None else hashlib.sha256(np.ascontiguousarray(self.pivot).data).hexdigest()[:12]
        loss = ",".join(f"{term}={weight:g}" for term, weight in sorted(self.loss.items()))
        return (
            f"seed {self.seed}, rate {self.rate}, space {self.space}, loss {loss or 'usual'}, pivot {pivot}, "
            f"until_lpips {self.until_lpips}, locality {self.locality}"
        )

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 1 << 63:
            raise ArrayError("seed is out of range", got=self.seed, expected="a whole number, 0 or more")
        least, most = RATE_LIMITS
        if self.rate is not None and not least <= self.rate <= most:
            raise ArrayError("rate is out of range", got=self.rate, expected=f"{least:g} to {most:g}")
        if self.space not in ("w", "w+"):
            raise ArrayError("Unknown space of codes", got=self.space, expected="w or w+")
        for term, weight in self.loss.items():
            if not 0 <= weight < math.inf:
                raise ArrayError(f"The weight of {term} is out of range", got=weight, expected="0 or more")
        if self.until_lpips is not None and not 0 <= self.until_lpips < math.inf:
            raise ArrayError("until_lpips is out of range", got=self.until_lpips, expected="0 or more")
