"""NVIDIA's driver through its own bindings: every call is checked, and an error is the package's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from cuda.bindings import driver

from ...errors import BackendError

SUCCESS, OUT_OF_MEMORY = driver.CUresult.CUDA_SUCCESS, driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
#: After these a process gets nothing else from the GPU, whatever it asks.
LASTING = {
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
}


def call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """What a function of the driver answers: nothing, a value, or a tuple of several.

    Raises:
        BackendError: it failed, or the driver is missing or too old to have it.
    """
    status, value = answer(function, *arguments)
    if status != SUCCESS:
        raise failure(function, status)
    return value


def answer(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> tuple[Any, Any]:
    """The same with its status, for who can do something about an error."""
    try:
        status, *values = function(*arguments)
    except RuntimeError as error:  # of the bindings themselves: no driver, or one without this function
        raise BackendError(
            "CUDA cannot use the GPU", got=str(error), hint="nvidia-smi says whether there is a driver, and which."
        ) from error
    return status, values[0] if len(values) == 1 else tuple(values) or None


def failure(function: Callable[..., tuple[Any, ...]], status: Any) -> BackendError:
    """An error of the driver as the package's own."""
    _, text = driver.cuGetErrorString(status)
    said = f"{status.name} ({(text or b'unknown').decode()}) from {function.__name__}"
    if function is driver.cuInit:
        return BackendError("CUDA cannot use the GPU", got=said, hint="nvidia-smi says whether there is a GPU.")
    lasting = "It lasts as long as this process: start it again." if status.name in LASTING else None
    return BackendError("The GPU failed", got=said, hint=lasting)


@dataclass(frozen=True)
class Context:
    """A context of a GPU: its primary one, which is shared by CUDA's runtime and retained here, or the caller's own."""

    handle: Any
    gpu: Any
    primary: bool

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the calling thread's; the one before it is so again at the end."""
        call(driver.cuCtxPushCurrent, self.handle)
        try:
            yield
        finally:
            call(driver.cuCtxPopCurrent)

    def release(self) -> None:
        """Give back what was retained."""
        if self.primary:
            call(driver.cuDevicePrimaryCtxRelease, self.gpu)


def find_context(gpu: Any) -> Context:
    """The context that is current in this thread, if it is the GPU's; else the primary one.

    CUDA's runtime goes by the same rule, so the kernels and TensorRT work in the context that is found here.
    """
    current = call(driver.cuCtxGetCurrent)
    ours = int(current) != 0 and int(call(driver.cuCtxGetDevice)) == int(gpu)
    _, active = call(driver.cuDevicePrimaryCtxGetState, gpu)
    if ours and not active:  # to retain the primary one would make it, at some hundred MB
        return Context(current, gpu, primary=False)
    primary = Context(call(driver.cuDevicePrimaryCtxRetain, gpu), gpu, primary=True)
    if not ours or int(current) == int(primary.handle):
        return primary
    primary.release()
    return Context(current, gpu, primary=False)


def close_quietly(context: Context, close: Callable[[], None]) -> None:
    """Give everything back in its context. A context that failed or that its owner destroyed has taken all with it."""
    with suppress(BackendError), context.active():
        close()
    with suppress(BackendError):
        context.release()
