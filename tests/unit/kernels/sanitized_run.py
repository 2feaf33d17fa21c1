"""Run by the sanitizers' test in a process of its own: python sanitized_run.py LIBRARY [past-the-end]."""

import sys
from pathlib import Path

import numpy as np
from conftest import HostMemory

from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.tests.kernel_cases import DTYPE_PAIRS, KINDS, Case, check, layer

library = KernelLibrary(Path(sys.argv[1]))
memory = HostMemory(guard=0)
if sys.argv[2:] == ["past-the-end"]:  # an array one element too short: the sanitizer must see it, or the test is none
    base, weight = (memory.put(np.zeros(size, np.uint8)) for size in (4 * 33 * 17 - 4, 4 * 33 * 17))
    library.modulation([LayerArrays(layer(33, 17, 1, offset="none"), base, weight)], "float32").launch()
shapes = ((33, 17, 3), (64, 48, 3), (3, 32, 1), (5, 6, 7))
for dtypes in DTYPE_PAIRS:
    for shift in (0, 1):
        cases = [
            Case(layer(*shape, up, kind), shift=shift) for shape in shapes for up in (False, True) for kind in KINDS
        ]
        check(library, memory, cases, dtypes)
memory.free()
print("compared")  # noqa: T201
