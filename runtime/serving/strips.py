"""Which reconstructions of a photo its strip shows: of many steps not every one."""

import math

import numpy as np
from numpy.typing import NDArray

#: A strip shows the first state, every so manieth after it so that there are about so many, and the result.
MOST_SHOWN = 12


class Strip:
    """Keeps what a strip may need while a photo goes through at most ``steps`` steps.

    The result may be a state of long ago, where an optimisation ran away: whoever knows it keeps its picture last.
    """

    def __init__(self, steps: int) -> None:
        self._stride = max(1, math.ceil(steps / MOST_SHOWN))
        self._kept: dict[int, NDArray[np.uint8]] = {}

    def keep(self, index: int, picture: NDArray[np.uint8]) -> None:
        """Keep a reconstruction [H, W, 3], and drop the last but one, unless it is shown."""
        self._kept[index] = picture
        if (index - 2) % self._stride:
            self._kept.pop(index - 2, None)

    def pictures(self, result: int) -> list[NDArray[np.uint8]]:
        """What is shown of a photo whose result is the state ``result``, in order."""
        shown = [index for index in sorted(self._kept) if index < result and index % self._stride == 0]
        return [self._kept[index] for index in (*shown, result)]
