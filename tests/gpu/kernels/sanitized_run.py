"""Run by the sanitizers' tests in a process of its own: python sanitized_run.py LIBRARY."""

import sys
from pathlib import Path

from conftest import DeviceMemory

from hyperstyle_deploy.benchmarks.cuda_driver import Device
from hyperstyle_deploy.kernels.library import KernelLibrary
from hyperstyle_deploy.tests.kernel_cases import DTYPE_PAIRS, KINDS, Case, check, faces_layers, layer

library = KernelLibrary(Path(sys.argv[1]))
memory = DeviceMemory(Device())
memory.guard = 0
for dtypes in DTYPE_PAIRS:
    for shift in (0, 1):
        shapes = ((33, 17, 3), (64, 48, 3), (3, 32, 1), (5, 6, 7))
        cases = [
            Case(layer(*shape, up, kind), shift=shift) for shape in shapes for up in (False, True) for kind in KINDS
        ]
        check(library, memory, cases, dtypes)
    check(library, memory, [Case(entry) for entry in faces_layers(divide=8)], dtypes)
memory.free()
print("compared")  # noqa: T201
