"""What optimisations draw, the same numbers in every language: Philox 4x64-10, then Box and Muller's transform.

NumPy's own normal numbers come out of tables that no other language has, and may change with a version of NumPy. Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is a function of a key and a counter: the key
says seed and what is drawn, the counter says at which step, so a draw needs no others before it. The twin of
runtime/cpp/src/random.cpp.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray


def normal_numbers(seed: int, name: str, index: int, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal numbers of this shape, float32.

    Words w come from blocks 1, 2, ... of four, with the key (seed, the first eight bytes of the name as a number) and
    the counter (block, index, 0, 0). Each two give two numbers, computed in double precision and then rounded:
    ``sqrt(-2 ln u1) (cos, sin)(2 pi u2)`` with ``u = (w div 2^11 + 1) / 2^53``, above 0 and up to 1.

    Args:
        seed: 0 to 2^63 - 1.
        name: what is drawn.
        index: at which step.
        shape: of the array.
    """
    count = prod(shape)
    key = np.array([seed, int.from_bytes(name.encode()[:8], "little")], np.uint64)
    stream = np.random.Philox(key=key, counter=np.array([0, index, 0, 0], np.uint64))
    words = stream.random_raw(count + count % 2)
    uniform = ((words >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[::2])), 2 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return pairs.reshape(-1)[:count].astype(np.float32).reshape(shape)
