"""Backends: what runs a bundle's graphs. One interface, one module each, imported only when it is asked for."""

from dataclasses import dataclass
from importlib.util import find_spec

from ...errors import BackendError
from ...install_hint import install_command
from ..bundle.reader import Bundle
from .base import Backend

GPU_MODULES = ("cuda.bindings",)


@dataclass(frozen=True)
class Requirement:
    """What a backend needs: modules, and the extras that install them; if it runs on a GPU, and tells nodes' times."""

    modules: tuple[str, ...]
    extras: tuple[str, ...]
    gpu: bool = False
    nodes: bool = True


#: The backends by name, the fastest on a CPU first.
BACKENDS = {
    "openvino": Requirement(("openvino", "onnxruntime"), ("openvino",)),
    "onnxruntime": Requirement(("onnxruntime",), ("cpu",)),
    "tensorrt": Requirement(("tensorrt", *GPU_MODULES), ("gpu", "tensorrt"), gpu=True),
    "tensorrt-rtx": Requirement(("tensorrt_rtx", *GPU_MODULES), ("gpu", "tensorrt-rtx"), gpu=True),
    "onnxruntime-cuda": Requirement(("onnxruntime", *GPU_MODULES), ("gpu",), gpu=True, nodes=False),
}
AUTO = "auto"


@dataclass(frozen=True)
class Options:
    """How a backend is to run; None leaves it to the backend.

    ``threads`` is how many CPU threads one run may use, ``precision_hint`` "f32" or "bf16" what OpenVINO computes in;
    ``device`` is a GPU's number, ``trust_engines`` loads engines that were not built on this machine. ``nodes`` notes
    the time of every node, which slows the runs down. ``stream`` is a CUDA stream of any library, or its handle, for
    a GPU's work; its own if it is None.
    """

    threads: int | None = None
    precision_hint: str | None = None
    device: int | None = None
    trust_engines: bool = False
    nodes: bool = False
    stream: object | None = None


def available() -> tuple[str, ...]:
    """Names of the CPU backends whose packages are installed, the fastest first."""
    return tuple(name for name, needs in BACKENDS.items() if not needs.gpu and not missing(name))


def missing(name: str) -> list[str]:
    """Modules that the backend ``name`` needs and that are not installed."""
    return [module for module in BACKENDS[name].modules if not _installed(module)]


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def resolve(name: str) -> str:
    """The backend that ``name`` stands for; "auto" is the fastest one on a CPU that is installed.

    Raises:
        BackendError: the name is unknown, or its package is not installed.
    """
    installed = available()
    if name == AUTO and installed:
        return installed[0]
    if name == AUTO:
        there = [each for each, needs in BACKENDS.items() if needs.gpu and not missing(each)]
        raise BackendError(
            "No backend for the CPU is installed",
            got=f"those for GPUs alone: {', '.join(there)}" if there else None,
            hint=f"Name one of them, or install one with: {install_command('cpu')}"
            if there
            else f"Install one with: {install_command('cpu')}",
        )
    if name not in BACKENDS:
        raise BackendError("Unknown backend", got=name, expected=f"{AUTO} or one of {', '.join(BACKENDS)}")
    if modules := missing(name):
        raise BackendError(
            f"The backend {name} is not installed",
            got=f"no {', '.join(modules)}",
            hint=f"Install it with: {install_command(*BACKENDS[name].extras)}",
        )
    return name


def open_backend(name: str, bundle: Bundle, options: Options) -> Backend:
    """Load a bundle's graphs into the backend ``name``, as ``resolve`` gave it.

    Raises:
        BackendError: an option is not this backend's, a package is missing, or it cannot load a graph, or not run the
            bundle's precision.
        EngineError: engines are missing, stale, not from this machine, or built for something else.
    """
    if BACKENDS[name].gpu:
        return _open_gpu(name, bundle, options)
    if options.device is not None or options.trust_engines or options.stream is not None:
        raise BackendError(f"{name} runs on the CPU", got="an option for GPUs", hint="Leave it out.")
    if bundle.manifest.precision == "bfloat16":
        raise BackendError(
            f"The backend {name} cannot run a bfloat16 bundle",
            got=bundle.path,
            expected="a bundle in float32 or float16",
            hint="TensorRT runs it, on GPUs since Ampere. For a CPU, export with --precision fp32 or fp16.",
        )
    if bundle.manifest.quantization == "fp8" and name == "openvino":
        # Tried with 2026.4.1: a network of five convolutions differed from ONNX's definition by 3 %.
        raise BackendError(
            "The backend openvino does not round to FP8 as the graphs say",
            got=bundle.path,
            hint="Take --backend onnxruntime, or calibrate with --format int8, which both run.",
        )
    if name == "onnxruntime":
        from .onnxruntime import OnnxRuntimeBackend

        if options.precision_hint not in (None, "f32"):
            raise BackendError(
                "ONNX Runtime computes what the graph says", got=f"precision hint {options.precision_hint}"
            )
        return OnnxRuntimeBackend(bundle, options.threads, options.nodes)
    from .openvino import OpenVinoBackend

    return OpenVinoBackend(bundle, options.threads, options.precision_hint or "f32", options.nodes)


def _open_gpu(name: str, bundle: Bundle, options: Options) -> Backend:
    if options.threads is not None or options.precision_hint is not None:
        raise BackendError(f"{name} runs on the GPU", got="an option for CPUs", hint="Leave it out.")
    from ...kernels.library import KernelLibrary
    from .device import DeviceBackend, GraphRunner

    kernels = KernelLibrary()
    from .cuda import CudaDevice
    from .interop import stream_handle

    stream = None if options.stream is None else stream_handle(options.stream)
    device = CudaDevice(options.device or 0, stream, keep=options.stream)
    runner: GraphRunner
    with device.active():
        if name == "onnxruntime-cuda":
            from .onnxruntime_cuda import OnnxRuntimeRunner

            if options.trust_engines:
                raise BackendError("ONNX Runtime loads no engines", got="trust_engines", hint="Leave it out.")
            if not device.primary:
                raise BackendError(
                    "ONNX Runtime works in a GPU's primary context alone",
                    got="another one, which is current here",
                    hint="With PyCUDA: import pycuda.autoprimaryctx instead of pycuda.autoinit.",
                )
            runner = OnnxRuntimeRunner(bundle, device, device.index)
        else:
            from .tensorrt import open_engines

            runner = open_engines(name, bundle, device, options.trust_engines, options.nodes)
    return DeviceBackend(bundle, device, runner, kernels)
