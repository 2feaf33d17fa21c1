"""Backends: what runs a bundle's graphs. One interface, one module each, imported only when it is asked for."""

from importlib.util import find_spec

from ...errors import BackendError
from ..bundle import Bundle
from .base import Backend

#: Backend name -> (modules it needs, extra that installs them), the fastest on a CPU first.
BACKENDS = {"openvino": (("openvino", "onnxruntime"), "openvino"), "onnxruntime": (("onnxruntime",), "cpu")}
AUTO = "auto"
#: Backends that lack most operators in bfloat16.
WITHOUT_BFLOAT16 = frozenset({"openvino", "onnxruntime"})


def available() -> tuple[str, ...]:
    """Names of the backends whose packages are installed, the fastest first."""
    return tuple(name for name, (modules, _) in BACKENDS.items() if all(map(find_spec, modules)))


def resolve(name: str) -> str:
    """The backend that ``name`` stands for; "auto" is the fastest one installed.

    Raises:
        BackendError: the name is unknown, or its package is not installed.
    """
    installed = available()
    if name == AUTO and installed:
        return installed[0]
    if name == AUTO:
        raise BackendError("No backend is installed", hint='Install one with: pip install "hyperstyle-deploy[cpu]"')
    if name not in BACKENDS:
        raise BackendError("Unknown backend", got=name, expected=f"{AUTO} or one of {', '.join(BACKENDS)}")
    if name not in installed:
        raise BackendError(
            f"The backend {name} is not installed",
            hint=f'Install it with: pip install "hyperstyle-deploy[{BACKENDS[name][1]}]"',
        )
    return name


def open_backend(name: str, bundle: Bundle, threads: int | None, precision_hint: str | None) -> Backend:
    """Load a bundle's graphs into the backend ``name``, as ``resolve`` gave it.

    Args:
        name: a name of ``BACKENDS``.
        bundle: a verified bundle.
        threads: how many threads one run may use; None leaves it to the backend.
        precision_hint: "f32" or "bf16", for backends that can choose; None is float32.

    Raises:
        BackendError: the package is missing, or it cannot load or run a graph, or not in the bundle's precision.
    """
    if bundle.manifest.precision == "bfloat16" and name in WITHOUT_BFLOAT16:
        raise BackendError(
            f"The backend {name} cannot run a bfloat16 bundle",
            got=bundle.path,
            expected="a bundle in float32 or float16",
            hint="TensorRT runs it, on GPUs since Ampere. For a CPU, export with --precision fp32 or fp16.",
        )
    if name == "onnxruntime":
        from .onnxruntime import OnnxRuntimeBackend

        if precision_hint not in (None, "f32"):
            raise BackendError("ONNX Runtime computes what the graph says", got=f"precision hint {precision_hint}")
        return OnnxRuntimeBackend(bundle, threads)
    from .openvino import OpenVinoBackend

    return OpenVinoBackend(bundle, threads, precision_hint or "f32")
