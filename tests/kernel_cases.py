"""The kernel against the reference, on any memory: what the tests on the CPU and those on a GPU have in common."""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from hyperstyle_deploy.kernels.arithmetic import DTYPES, decoded, encoded, modulate
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.runtime.manifest.layers import Layer, layer_table

#: Channels of the published generator, from 4x4 to 1024x1024, and the layers that HyperStyle tunes for faces.
CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64, 32)
FACES_TUNED = (0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23, 24)
_PATTERN = 0xA5  # of the bytes around an array, which nothing may touch
KINDS = ("none", "channel", "full")
#: Dtypes of weights and of offsets.
DTYPE_PAIRS = (
    ("float32", "float32"),
    ("float16", "float16"),
    ("float16", "float32"),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "float32"),
)


class Memory(Protocol):
    """Where the kernel's arrays live. Each is surrounded by ``guard`` bytes, a multiple of 16."""

    guard: int

    def put(self, content: np.ndarray) -> int:
        """Address of a copy of uint8 ``content``, a multiple of 256."""

    def get(self, address: int) -> np.ndarray:
        """What is now at an address that ``put`` returned, whole."""


@dataclass
class Case:
    """A layer, and how it is laid out."""

    layer: Layer
    energy: bool = True
    scale: float = 1.0
    shift: int = 0  # elements past a multiple of 256 bytes at which every array begins


@dataclass
class Placed:
    """A case in memory: values, and the guarded blocks that hold them."""

    case: Case
    base: np.ndarray
    offset: np.ndarray | None
    dtype: str
    arrays: LayerArrays
    blocks: dict[str, tuple[int, np.ndarray, slice]] = field(default_factory=dict)


def layer(out: int, fan_in: int, kernel: int = 3, up: bool = False, offset: str = "full") -> Layer:
    return Layer(0, f"{out}x{fan_in}x{kernel}", fan_in, out, kernel, 8, 0, up, offset)


def faces_layers(size: int = 1024, divide: int = 1) -> list[Layer]:
    """The tuned layers of the published model for faces, their channels divided: of 512 channels whole kernels."""
    channels = CHANNELS[: size.bit_length() - 2]
    plain = layer_table(channels)
    widest = {index for index in FACES_TUNED if plain[index:] and plain[index].weight_shape[:2] == (512, 512)}
    kinds = {index: "full" if index in widest else "channel" for index in FACES_TUNED}
    return [
        replace(
            entry,
            in_channels=max(1, entry.in_channels // divide),
            out_channels=max(1, entry.out_channels // divide),
        )
        for entry in layer_table(channels, kinds)
        if entry.tuned
    ]


def random_cases(seed: int, largest: int) -> list[Case]:
    """A table of 1 to 32 layers of any kind, of up to ``largest`` channels."""
    random = np.random.default_rng(1000 + seed)
    return [
        Case(
            layer(
                *(int(size) for size in random.integers(1, largest, 2)),
                int(random.choice([1, 1, 3, 3, 3, 4])),
                bool(random.integers(2)),
                str(random.choice(KINDS)),
            ),
            energy=bool(random.integers(2)),
            shift=int(random.choice([0, 0, 8, 1])),
        )
        for _ in range(int(random.integers(1, 33)))
    ]


def place(case: Case, memory: Memory, random: np.random.Generator, dtype: str, offset_dtype: str) -> Placed:
    shape = case.layer.weight_shape
    stored_shape = (shape[1], shape[0], *shape[2:]) if case.layer.up else shape
    base = encoded(random.standard_normal(stored_shape, np.float32), dtype)
    offset = None
    if case.layer.tuned:
        offset_shape = shape[:2] if case.layer.offset == "channel" else shape
        offset = encoded(random.normal(0, 0.5, offset_shape).astype(np.float32), offset_dtype)
    blocks = {}
    contents = {"base": base, "offset": offset, "weight": np.zeros_like(base)}
    contents["energy"] = np.zeros(stored_shape[:2], np.float32) if case.energy else None
    addresses: dict[str, Any] = dict.fromkeys(contents)
    for name, content in contents.items():
        if content is None:
            continue
        start = memory.guard + case.shift * content.itemsize
        block = np.full(start + content.nbytes + memory.guard, _PATTERN, np.uint8)
        inside = slice(start, start + content.nbytes)
        if name in ("base", "offset"):
            block[inside] = content.reshape(-1).view(np.uint8)
        at = memory.put(block)
        addresses[name] = at + start
        blocks[name] = (at, block, inside)
    arrays = LayerArrays(case.layer, scale=case.scale, **addresses)
    values = None if offset is None else decoded(offset, offset_dtype)
    return Placed(case, decoded(base, dtype), values, dtype, arrays, blocks)


def run(
    library: KernelLibrary, memory: Memory, cases: list[Case], dtypes: tuple[str, str], seed: int = 0
) -> list[Placed]:
    """Lay the cases out and launch once."""
    random = np.random.default_rng(seed)
    placed = [place(case, memory, random, *dtypes) for case in cases]
    library.modulation([entry.arrays for entry in placed], *dtypes).launch()
    return placed


def check(library: KernelLibrary, memory: Memory, cases: list[Case], dtypes: tuple[str, str], seed: int = 0) -> None:
    """Run the cases in one launch and compare everything that it wrote, and all that it must not write."""
    for entry in run(library, memory, cases, dtypes, seed):
        compare(entry, memory)


def compare(entry: Placed, memory: Memory) -> None:
    case, what = entry.case, f"{entry.case} {entry.dtype}"
    after = {name: memory.get(block[0]) for name, block in entry.blocks.items()}
    for name, (_, before, inside) in entry.blocks.items():
        kept = before.copy()
        if name in ("weight", "energy"):
            kept[inside] = after[name][inside]
        assert np.array_equal(after[name], kept), f"{name}: something outside the outputs was written: {what}"
    weight, _ = modulate(entry.base, entry.offset, up=case.layer.up, scale=case.scale, dtype=entry.dtype)
    stored = after["weight"][entry.blocks["weight"][2]].copy().view(DTYPES[entry.dtype])
    got = decoded(stored, entry.dtype).reshape(weight.shape)
    if case.scale == 1:
        assert np.array_equal(got, weight), f"{np.abs(got - weight).max()}: {what}"
    else:  # the kernel multiplies in another order, so a weight may fall to the neighbouring number
        step = {"float32": 2.0**-22, "float16": 2.0**-10, "bfloat16": 2.0**-7}[entry.dtype]
        np.testing.assert_allclose(got, weight, rtol=step, atol=1e-7, err_msg=what)
    if case.energy:
        energies = after["energy"][entry.blocks["energy"][2]].copy().view(np.float32).reshape(weight.shape[:2])
        # A float32 sum of n squares, in any order, is off by n + 1 roundings at most.
        exact, roundings = np.square(got.astype(np.float64)).sum((2, 3)), case.layer.kernel**2 + 1
        np.testing.assert_allclose(energies, exact, rtol=roundings * 2.0**-24, atol=0, err_msg=what)
