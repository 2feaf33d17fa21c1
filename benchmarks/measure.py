"""How the benchmark measures: interleaved rounds, noise, peak rates, the machine, and fresh processes."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch

PACKAGES = ("hyperstyle-deploy", "torch", "onnxruntime", "openvino", "numpy")
#: Sides of the square float32 matmuls; which of them is fastest depends on the caches and the threads.
GEMM_SIZES = (1024, 2048, 3072)
#: Bytes of each of the two buffers of the copy: far more than a last-level cache holds.
COPY_BYTES = 256 << 20
FRESH_RUNS = 3

# Runs in a process of its own. VmHWM counts this program alone; ru_maxrss, for systems without /proc, also counts what
# the parent had in memory when it started the child.
_FRESH_PROCESS = """
import json, resource, sys, time
from pathlib import Path

import numpy as np
import hyperstyle_deploy

bundle, backend, threads, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
start = time.perf_counter()
session = hyperstyle_deploy.load(bundle, backend=backend, threads=threads)
load = time.perf_counter() - start
image = session.manifest.image
shape = (image.input_height, image.input_width, 3)
start = time.perf_counter()
session.invert(np.random.default_rng(0).integers(0, 256, shape, np.uint8), steps=steps)
invert = time.perf_counter() - start
status = Path("/proc/self/status")
if status.exists():
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if "torch" in sys.modules:
    raise SystemExit("the runtime imported torch")
print(json.dumps({"load_s": load, "invert_s": invert, "peak_bytes": peak}))
"""


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def progress(text: str) -> None:
    """Say what is going on without touching the report."""
    print(text, file=sys.stderr, flush=True)


def describe_machine(threads: int, packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """The machine and the software of this run."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gb": round(_memory_bytes() / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def load_average() -> list[float] | None:
    """Load average of the last 1, 5 and 15 minutes, where the system has one."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None


class NoiseClock:
    """What kept the cores from this program while they were wanted, as shares of the CPU time that was.

    ``stolen`` went to other guests of the hypervisor, ``others`` to other programs on this machine; waited-for child
    processes are this program's. Idle time counts nowhere: it would hide both. None where the system does not tell.
    """

    def __init__(self) -> None:
        self._last = _cpu_seconds()

    def lap(self) -> dict[str, float | None]:
        """Shares since the last lap."""
        before, self._last = self._last, _cpu_seconds()
        if before is None or self._last is None:
            return {"stolen": None, "others": None}
        stolen, busy, own = (now - then for now, then in zip(self._last, before, strict=True))
        wanted = max(stolen + busy, 1e-9)
        return {"stolen": stolen / wanted, "others": max(busy - own, 0.0) / wanted}


def _cpu_seconds() -> tuple[float, float, float] | None:
    """Stolen and busy time of all cores, and this program's, so far."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    ticks = [int(field) for field in stat.read_text().split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = (tick / os.sysconf("SC_CLK_TCK") for tick in ticks)
    return steal, user + nice + system + irq + softirq, sum(os.times()[:4])


class PeakRates:
    """What a device can do at best: GEMM in ``dtype`` and memory copy, by PyTorch on the threads it was given."""

    def __init__(
        self,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        sizes: tuple[int, ...] = GEMM_SIZES,
        clock: Callable[[Callable[[], object]], float] = timed,
    ) -> None:
        self._clock = clock
        self._matrices = [torch.full((size, size), 0.5, dtype=dtype, device=device) for size in sizes]
        self._products = [torch.empty_like(matrix) for matrix in self._matrices]
        # Filled, so that no page is touched for the first time while the clock runs.
        self._source, self._target = (torch.full((COPY_BYTES // 4,), 1.0, device=device) for _ in range(2))

    def measure(self) -> dict[str, float]:
        """Best of several now: ``flops`` (2 n^3 a matmul) and ``bytes`` (read and written) per second."""
        flops = [
            2 * len(matrix) ** 3 / self._clock(lambda a=matrix, y=product: torch.mm(a, a, out=y))
            for matrix, product in zip(self._matrices, self._products, strict=True)
            for _ in range(3)
        ]
        copies = [2 * COPY_BYTES / self._clock(lambda: self._target.copy_(self._source)) for _ in range(4)]
        return {"flops": max(flops), "bytes": max(copies)}


def interleave(
    what: str,
    table: Mapping[str, Mapping[str, Callable[[], object]]],
    rounds: int,
    rates: PeakRates,
    clock: NoiseClock,
    repeats: int = 1,
    time_call: Callable[[Callable[[], object]], float] = timed,
) -> dict[str, Any]:
    """Time every call of the table (stage, then side) ``repeats`` times a round, the sides' order rotating.

    Returns:
        ``seconds`` by stage and side, a list with ``repeats`` entries a round; ``rates`` (FLOPs and bytes per second)
        and ``noise`` (shares of CPU time), lists with an entry a round.
    """
    seconds: dict[str, dict[str, list[float]]] = {stage: {name: [] for name in calls} for stage, calls in table.items()}
    measured, noise = [], []
    clock.lap()
    for index in range(rounds):
        progress(f"{what}: round {index + 1}/{rounds}")
        measured.append(rates.measure())
        for stage, calls in table.items():
            names = list(calls)
            first = index % len(names)
            for name in names[first:] + names[:first]:
                seconds[stage][name] += [time_call(calls[name]) for _ in range(repeats)]
        noise.append(clock.lap())
    return {"seconds": seconds, "rates": measured, "noise": noise}


def fresh_processes(bundle: Path, backends: list[str], threads: int, steps: int) -> dict[str, list[dict[str, float]]]:
    """Load a bundle and invert one photo in new processes, without PyTorch, the backends in turn.

    The bundle was just read or written, so its files come from the page cache.

    Returns:
        By backend and run: ``load_s`` and ``invert_s``, seconds of ``load`` (imports, checksums, graphs) and of the
        first ``invert``; ``peak_bytes``, the largest resident set of the process, mapped files included.

    Raises:
        RuntimeError: a process failed.
    """
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in backends}
    for index in range(FRESH_RUNS):
        progress(f"fresh processes: {index + 1}/{FRESH_RUNS}")
        for name, measured in runs.items():
            command = [sys.executable, "-c", _FRESH_PROCESS, str(bundle.resolve()), name, str(threads), str(steps)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise RuntimeError(f"the fresh process of {name} failed: {result.stderr.strip()[-2000:]}")
            measured.append(json.loads(result.stdout.splitlines()[-1]))
    return runs


def spread(values: list[float], digits: int = 2) -> str:
    """Median and range, as text."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else "-"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def percent(shares: list[float | None]) -> str:
    """Shares of 1 as text."""
    return ", ".join("unknown" if share is None else f"{share:.0%}" for share in shares)


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print columns as wide as their contents."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    print(f"\n{title}")
    for row in (header, *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
