"""The machine as it is: what it is made of, and its clocks, temperatures and other load, which are read, never set."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    *("hyperstyle-deploy", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("tensorrt", "tensorrt-rtx", "cuda-bindings"),
)
_CPU_INFO, _STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")


def describe_machine(device: int | None) -> dict[str, Any]:
    """What does not change while a profile runs: hardware and software. ``device`` is the number of the GPU in use."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "cpu": _cpu_model(),
        "cores": {"physical": psutil.cpu_count(logical=False), "logical": psutil.cpu_count()},
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "gpu": None if device is None else _describe_gpu(device),
        "versions": {"python": platform.python_version()} | {name: found for name, found in versions.items() if found},
    }


def current_state(device: int | None) -> dict[str, Any]:
    """What changes: clocks in MHz, temperatures in degrees Celsius, load average, free memory. None: not told here."""
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    temperatures = [reading.current for readings in sensors.values() for reading in readings]
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu_mhz": round(clock.current) if clock and clock.current else None,
        "cpu_celsius": max(temperatures, default=None),
        "load_average": [round(load, 2) for load in psutil.getloadavg()],
        "available_bytes": psutil.virtual_memory().available,
        "gpu": None if device is None else _gpu_state(device),
    }


class NoiseClock:
    """What kept the processors from this program: shares of the processor time that was wanted since the start.

    ``stolen`` went to other guests of the hypervisor, ``others`` to other programs here. Idle time counts nowhere.
    """

    def __init__(self) -> None:
        self._start = self._seconds()

    def shares(self) -> dict[str, float]:
        """Shares of 1 since the start."""
        stolen, busy, own = (now - then for now, then in zip(self._seconds(), self._start, strict=True))
        wanted = max(stolen + busy, 1e-9)
        return {"stolen": stolen / wanted, "others": max(busy - own, 0.0) / wanted}

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        times, own = psutil.cpu_times(), psutil.Process().cpu_times()
        stolen = getattr(times, "steal", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Guests' time is part of user and nice already.
        counted_twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return stolen, sum(times) - counted_twice - idle - stolen, sum(own[:4])


def peak_memory() -> int:
    """Bytes of this process's largest resident set so far."""
    if _STATUS.exists():
        # ru_maxrss would also count what the parent had in memory when it started this process.
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):
        return int(memory.peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_memory(device: int) -> int | None:
    """Bytes that this process holds on a GPU; None without NVIDIA's driver, or if it does not say."""
    with _nvml() as nvml:
        if nvml is None:
            return None
        handle = nvml.nvmlDeviceGetHandleByIndex(device)
        held = [p.usedGpuMemory for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid == os.getpid()]
        return held[0] if held else None


def _describe_gpu(device: int) -> dict[str, Any] | None:
    with _nvml() as nvml:
        if nvml is None:
            return None
        handle = nvml.nvmlDeviceGetHandleByIndex(device)
        return {
            "name": nvml.nvmlDeviceGetName(handle),
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "memory_bytes": nvml.nvmlDeviceGetMemoryInfo(handle).total,
            "max_sm_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
        }


def _gpu_state(device: int) -> dict[str, Any] | None:
    with _nvml() as nvml:
        if nvml is None:
            return None
        handle = nvml.nvmlDeviceGetHandleByIndex(device)
        return {
            "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "celsius": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "utilization_percent": nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "used_bytes": nvml.nvmlDeviceGetMemoryInfo(handle).used,
        }


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVIDIA's management library while it is open; None where it is not installed or finds no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 (the module is optional, and its error type comes with it)
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _cpu_model() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
