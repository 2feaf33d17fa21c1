"""What the GPU benchmark needs of the GPU: clocks that wait for it, its description, and the kernel on its own."""

import subprocess
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from hyperstyle_deploy import Bundle
from hyperstyle_deploy.kernels.library import KernelLibrary, LayerArrays
from hyperstyle_deploy.kernels.traffic import bytes_moved

#: What `nvidia-smi` is asked for; it answers with a line a GPU.
QUERY = "name,driver_version,power.limit,clocks.max.sm,clocks.max.mem,ecc.mode.current,mig.mode.current"
KERNEL_RUNS = 200


def synchronized(call: Callable[[], object]) -> float:
    """Seconds that one call takes, its work on the GPU included, in whichever stream of the process that is."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def on_device(call: Callable[[], object]) -> float:
    """Seconds that the GPU takes for what a call puts into PyTorch's stream, by CUDA events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def with_tf32(allowed: bool, call: Callable[[], object]) -> Callable[[], Any]:
    """The call with TF32 in PyTorch's convolutions or without; its matmuls never use it unless asked to."""

    def run() -> object:
        torch.backends.cudnn.allow_tf32 = allowed
        return call()

    return run


def describe_gpu() -> dict[str, Any]:
    """The GPU that PyTorch uses, the libraries that it brings, and what the driver says."""
    gpu = torch.cuda.get_device_properties(0)
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        answer = f"unknown: {error}"
    return {
        "gpu": gpu.name,
        "compute_capability": f"{gpu.major}.{gpu.minor}",
        "gpu_memory_gb": round(gpu.total_memory / 1e9, 1),
        "pytorch_cuda": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        QUERY: answer,
    }


def modulation(bundle: Bundle) -> tuple[Callable[[], None], int]:
    """One launch of the kernel in PyTorch's stream, on arrays of its own, and the bytes that it must move.

    Raises:
        KernelError: the library is not built, or refuses the layers.
    """
    graphs, held = bundle.manifest.graphs, []
    specs = {spec.name: spec for spec in (*graphs["synthesis_one"].inputs, *graphs["offsets"].outputs)}

    def place(name: str) -> int:
        held.append(torch.ones(specs[name].shape, dtype=getattr(torch, specs[name].dtype), device="cuda"))
        return held[-1].data_ptr()

    layers = bundle.manifest.tuned
    arrays = [
        LayerArrays(
            layer,
            base=place(f"weight.{layer.name}"),
            weight=place(f"weight.{layer.name}"),
            offset=place(f"offset.{layer.name}"),
            energy=place(f"energy.{layer.name}") if layer.demodulated else None,
        )
        for layer in layers
    ]
    dtypes = specs[f"weight.{layers[0].name}"].dtype, specs[f"offset.{layers[0].name}"].dtype
    launch = KernelLibrary().modulation(arrays, *dtypes).launch

    def call() -> None:
        assert held  # the arrays live as long as this function
        launch(torch.cuda.current_stream().cuda_stream)

    return call, bytes_moved(layers, *dtypes)


def kernel(bundle: Bundle, copy_rate: float) -> dict[str, float]:
    """The modulation kernel alone: bytes, median seconds, and its share of the rate of a copy on the device."""
    call, moved = modulation(bundle)
    times = [on_device(call) for _ in range(KERNEL_RUNS)]
    seconds = median(times)
    return {"bytes": moved, "seconds": seconds, "least": min(times), "of_copy": moved / seconds / copy_rate}
