"""Bandwidth of the modulation kernel against a device-to-device copy of the same number of bytes, on a GPU.

python benchmarks/kernel_bandwidth.py --json FILE
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cuda_driver import Device, NoGpuError

from hyperstyle_deploy.errors import KernelError
from hyperstyle_deploy.kernels.arithmetic import decoded, encoded, modulate
from hyperstyle_deploy.kernels.library import LIBRARY, KernelLibrary, LayerArrays
from hyperstyle_deploy.kernels.traffic import BYTES, bytes_moved, floor_us
from hyperstyle_deploy.runtime.manifest.layers import Layer
from hyperstyle_deploy.tests.kernel_cases import faces_layers

#: The layers that HyperStyle tunes for faces.
DTYPES = (
    ("float32", "float32"),
    ("float16", "float16"),
    ("bfloat16", "bfloat16"),
    ("float16", "float32"),
    ("bfloat16", "float32"),
)
#: The part of the copy's bandwidth that the kernel aims at.
AIM = 0.85


class Arrays:
    """All layers' arrays in one piece of device memory, random numbers in what is read."""

    def __init__(self, device: Device, layers: list[Layer], dtype: str, offset_dtype: str, seed: int) -> None:
        self._device, self.dtype, self.offset_dtype = device, dtype, offset_dtype
        self.inputs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.layers: list[LayerArrays] = []
        random = np.random.default_rng(seed)
        size = sum(sum(self._sizes(layer)) for layer in layers)
        self._memory = at = device.allocate(size)
        for layer in layers:
            out, fan_in, *taps = layer.weight_shape
            first = (fan_in, out) if layer.up else (out, fan_in)
            base = random.standard_normal((*first, *taps), np.float32)
            offset = 0.1 * random.standard_normal(
                (out, fan_in) if layer.offset == "channel" else layer.weight_shape, np.float32
            )
            stored = encoded(base, dtype), encoded(offset, offset_dtype)
            sizes = self._sizes(layer)
            places = [at + sum(sizes[:index]) for index in range(len(sizes))]
            device.upload(places[0], stored[0])
            device.upload(places[1], stored[1])
            energy = places[3] if layer.demodulated else None
            self.layers.append(LayerArrays(layer, places[0], places[2], places[1], energy))
            self.inputs[layer.name] = stored
            at += sum(sizes)

    def _sizes(self, layer: Layer) -> list[int]:
        """Bytes of base, offset, weight and energy, each rounded up to a multiple of 256."""
        pairs = layer.out_channels * layer.in_channels
        elements = pairs * layer.kernel**2
        offsets = pairs if layer.offset == "channel" else elements
        weight = elements * BYTES[self.dtype]
        return [-(-size // 256) * 256 for size in (weight, offsets * BYTES[self.offset_dtype], weight, pairs * 4)]

    def differs(self) -> list[str]:
        """Layers whose weights on the device are not the reference's."""
        wrong = []
        for arrays in self.layers:
            base, offset = self.inputs[arrays.layer.name]
            values = decoded(base, self.dtype), decoded(offset, self.offset_dtype)
            expected = encoded(modulate(*values, up=arrays.layer.up, dtype=self.dtype)[0], self.dtype)
            got = self._device.download(arrays.weight, base.nbytes).view(base.dtype).reshape(base.shape)
            if not np.array_equal(got, expected):
                wrong.append(arrays.layer.name)
        return wrong

    def free(self) -> None:
        """Give the memory back."""
        self._device.free(self._memory)


def graph_of(device: Device, calls: list[Callable[[], None]], count: int) -> Callable[[], None]:
    """A CUDA graph of ``count`` calls in turn, each on data that the caches no longer hold, and no time on the host."""
    for call in calls:
        call()
    device.synchronize()
    with device.captured() as graphs:
        for index in range(count):
            calls[index % len(calls)]()
    return lambda: device.replay(graphs[0])


def measure(device: Device, library: KernelLibrary, layers: list[Layer], dtypes: tuple[str, str], options: Any) -> Any:
    """Time the kernel and the copy in turn, ``options.rounds`` times ``options.batch`` launches each."""
    moved = bytes_moved(layers, *dtypes)
    # Several times the cache between two uses of the same bytes.
    sets = max(2, -(-4 * device.describe()["l2_bytes"] // moved))
    arrays = [Arrays(device, layers, *dtypes, seed) for seed in range(sets)]
    modulations = [library.modulation(entry.layers, *dtypes) for entry in arrays]
    half = moved // 2  # a copy reads and writes every byte
    buffers = [(device.allocate(half), device.allocate(half)) for _ in range(sets)]
    kernel = graph_of(device, [lambda m=m: m.launch(device.stream) for m in modulations], options.batch)
    copy = graph_of(device, [lambda b=b: device.copy(*b, half) for b in buffers], options.batch)
    seconds: dict[str, list[float]] = {"kernel": [], "copy": []}
    for index in range(options.warm_up + options.rounds):
        for name, call in (("kernel", kernel), ("copy", copy)):
            taken = device.seconds(call) / options.batch
            if index >= options.warm_up:
                seconds[name].append(taken)
    wrong = arrays[0].differs()
    for entry in arrays:
        entry.free()
    for address in (address for pair in buffers for address in pair):
        device.free(address)
    if wrong:
        raise SystemExit(f"the kernel's weights are not the reference's: {', '.join(wrong)} ({', '.join(dtypes)})")
    return {"dtypes": dtypes, "bytes": moved, "sets": sets, "seconds": seconds, **figures(moved, seconds)}


def figures(moved: int, seconds: dict[str, list[float]]) -> dict[str, float]:
    """Medians, bandwidths in bytes per second, and the kernel's part of the copy's bandwidth, round by round."""
    kernel, copy = median(seconds["kernel"]), median(seconds["copy"])
    ratios = [theirs / ours for ours, theirs in zip(seconds["kernel"], seconds["copy"], strict=True)]
    return {
        "kernel_us": kernel * 1e6,
        "copy_us": copy * 1e6,
        "kernel_bandwidth": moved / kernel,
        "copy_bandwidth": moved / copy,
        "ratio": median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
    }


def spread(values: list[float]) -> str:
    """Median and range in microseconds."""
    return f"{median(values) * 1e6:.1f} ({min(values) * 1e6:.1f} to {max(values) * 1e6:.1f})"


def report(result: dict[str, Any]) -> None:
    """Print the table."""
    machine = result["machine"]
    print(f"{machine['gpu']}, driver {machine['driver']}, {result['date']}, size {result['size']}")
    print(f"us: median (range) of {result['rounds']} rounds of {result['batch']}; aim: {AIM:.0%} of the copy\n")
    print(f"{'weights, offsets':20s} {'MB':>7s} {'kernel us':>24s} {'copy us':>24s} {'GB/s':>7s} {'of copy':>8s}")
    for row in result["results"]:
        kernel, copy = (spread(row["seconds"][name]) for name in ("kernel", "copy"))
        print(
            f"{', '.join(row['dtypes']):20s} {row['bytes'] / 1e6:7.1f} {kernel:>24s} {copy:>24s} "
            f"{row['kernel_bandwidth'] / 1e9:7.0f} {row['ratio']:8.1%}"
        )
    fastest = max(row["copy_bandwidth"] for row in result["results"])
    print(f"\nfloor at the copy's best bandwidth, {fastest / 1e9:.0f} GB/s:")
    for row in result["results"]:
        print(f"  {', '.join(row['dtypes']):20s} {floor_us(row['bytes'], fastest):.1f} us")


def package_version() -> str:
    """Ours, or that it is not installed."""
    try:
        return version("hyperstyle-deploy")
    except PackageNotFoundError:
        return "not installed"


def main() -> None:
    """Measure every dtype, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, choices=(256, 512, 1024), help="of the generator's image")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=20, help="launches that are timed together")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds before the measured ones")
    parser.add_argument("--library", type=Path, default=LIBRARY)
    parser.add_argument("--json", type=Path, help="where to write the result")
    options = parser.parse_args()
    try:
        device = Device()
    except NoGpuError as error:
        raise SystemExit(f"This benchmark needs an NVIDIA GPU: {error}") from error
    try:
        library = KernelLibrary(options.library)
    except KernelError as error:
        raise SystemExit(str(error)) from error
    layers = faces_layers(options.size)
    result: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {**device.describe(), "system": f"{platform.system()} {platform.release()} {platform.machine()}"},
        "versions": {
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "hyperstyle-deploy": package_version(),
        },
        "size": options.size,
        "rounds": options.rounds,
        "batch": options.batch,
        "aim": AIM,
        "results": [],
    }
    for dtypes in DTYPES:
        print(f"measuring {', '.join(dtypes)}", file=sys.stderr, flush=True)
        result["results"].append(measure(device, library, layers, dtypes, options))
    report(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
