"""Adam on the host, in blocks that stay in a cache."""

import numpy as np
from numpy.typing import NDArray

from ..methods.optimisation import BETAS

#: Numbers of a block: five arrays of it and what is in between fit into a core's cache.
BLOCK = 1 << 15
Numbers = NDArray[np.float32]


def adam(value: Numbers, gradient: Numbers, moments: tuple[Numbers, Numbers], rates: Numbers) -> Numbers:
    """``value - rates[0] first / (sqrt(second) + rates[1])``; the moments are brought up to date in place.

    ``first = b1 first + (1 - b1) g`` and ``second = b2 second + (1 - b2) g^2``, float32; ``rates`` are those of
    ``adam_rates``.
    """
    size, epsilon = rates
    decays = [np.float32(beta) for beta in BETAS]
    gains = [np.float32(1 - beta) for beta in BETAS]
    after = np.empty_like(value)
    flat = [array.reshape(-1) for array in (value, gradient, *moments, after)]
    for start in range(0, value.size, BLOCK):
        before, slope, first, second, new = (array[start : start + BLOCK] for array in flat)
        first *= decays[0]
        first += gains[0] * slope
        second *= decays[1]
        second += gains[1] * np.square(slope)
        np.sqrt(second, out=new)
        new += epsilon
        np.divide(first, new, out=new)
        new *= -size
        new += before
    return after
