"""What a build made: registers, memory and spills of every kernel, and for which devices the library has code."""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import KernelError

#: Kernels that a build makes for every architecture: by a part of their mangled names, what they compute. Those with a
#: dtype are the modulation.
KERNELS = {
    "modulateIffE": "float32",
    "modulateI6__halfS1_E": "float16",
    "modulateI6__halffE": "float16, offsets float32",
    "modulateI13__nv_bfloat16S1_E": "bfloat16",
    "modulateI13__nv_bfloat16fE": "bfloat16, offsets float32",
    "3addE": "sum",
    "13squared_errorE": "squared error",
    "6pixelsE": "pixels",
}
_COMPILING = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)\w?'")
_MEMORY = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?, (\d+) bytes smem)?")
_FAT_MAGIC = 0xBA55ED50
_PTX_CODE, _MACHINE_CODE = 1, 2


@dataclass(frozen=True)
class Usage:
    """What one kernel uses on one architecture.

    Attributes:
        kernel: what it computes.
        architecture: compute capability times ten.
        registers: of a thread.
        shared: bytes of shared memory of a block.
        stack: bytes of local memory of a thread.
        spills: bytes that a thread stores and loads because registers run out.
    """

    kernel: str
    architecture: int
    registers: int
    shared: int
    stack: int
    spills: int


def parse(text: str) -> list[Usage]:
    """The report of ``ptxas -v``, by kernel and architecture.

    Raises:
        KernelError: an entry is incomplete, so that nothing can be said about it.
    """
    usages = []
    entries = list(_COMPILING.finditer(text))
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        body = text[entry.end() : following.start() if following else len(text)]
        memory, used = _MEMORY.search(body), _USED.search(body)
        if not memory or not used:
            raise KernelError("ptxas does not report what a kernel uses", got=body[:500] or "nothing")
        stack, stores, loads = (int(number) for number in memory.groups())
        name = next((name for part, name in KERNELS.items() if part in entry[1]), entry[1])
        usages.append(Usage(name, int(entry[2]), int(used[1]), int(used[2] or 0), stack, stores + loads))
    return sorted(usages, key=lambda usage: (usage.kernel, usage.architecture))


def check(usages: Iterable[Usage], architectures: Iterable[int]) -> None:
    """That every kernel was made for every architecture, and that none needs memory for want of registers.

    Raises:
        KernelError: otherwise; the message lists them.
    """
    usages = list(usages)
    expected = {(kernel, sm) for kernel in KERNELS.values() for sm in architectures}
    found = {(usage.kernel, usage.architecture) for usage in usages}
    if found != expected:
        names = ", ".join(f"{kernel} for sm_{sm}" for kernel, sm in sorted(found ^ expected))
        raise KernelError("The build did not make what it should", got=f"missing or unknown: {names}")
    spilling = [usage for usage in usages if usage.stack or usage.spills]
    if spilling:
        names = ", ".join(
            f"{usage.kernel} for sm_{usage.architecture}: {usage.stack} bytes of stack, {usage.spills} of spills"
            for usage in spilling
        )
        raise KernelError("Kernels run out of registers", got=names, expected="no spills and no local memory")


def table(usages: Iterable[Usage]) -> str:
    """The report as text, a line each."""
    header = ("kernel", "architecture", "registers", "shared bytes", "stack bytes", "spill bytes")
    rows = [
        (u.kernel, f"sm_{u.architecture}", str(u.registers), str(u.shared), str(u.stack), str(u.spills)) for u in usages
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def code_in(library: Path) -> tuple[set[int], set[int]]:
    """Compute capabilities, times ten, for which a library has machine code, and those of its PTX.

    CUDA's tools put code into *fat binaries*: a header, then an entry for each architecture. The largest one of the
    file holds the kernels; another, which linking makes, holds none.
    """
    data = library.read_bytes()
    machine: set[int] = set()
    ptx: set[int] = set()
    largest = 0
    at = data.find(struct.pack("<I", _FAT_MAGIC))
    while at >= 0:
        _, version, header, size = struct.unpack_from("<IHHQ", data, at)
        if version == 1 and header == 16 and at + header + size <= len(data) and size > largest:
            largest, (machine, ptx) = size, _entries(data[at + header : at + header + size])
        at = data.find(struct.pack("<I", _FAT_MAGIC), at + 4)
    return machine, ptx


def _entries(body: bytes) -> tuple[set[int], set[int]]:
    architectures: dict[int, set[int]] = {_PTX_CODE: set(), _MACHINE_CODE: set()}
    at = 0
    while at + 32 <= len(body):
        kind, _, header, size = struct.unpack_from("<HHIQ", body, at)
        architectures.setdefault(kind, set()).add(struct.unpack_from("<I", body, at + 28)[0])
        at += max(header + size, 32)
    return architectures[_MACHINE_CODE], architectures[_PTX_CODE]
