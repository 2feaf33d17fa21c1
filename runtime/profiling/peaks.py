"""What a machine can do at best, for a roofline: float32 products and copies by the library that runs the graphs."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from ..backends.base import Backend
from ..backends.device import DeviceBackend

#: Sides of the square products; which is fastest depends on caches and threads.
SIZES = (1024, 2048)
#: Bytes of each buffer of the copy: far more than a last-level cache holds.
COPY_BYTES = 128 << 20
REPEATS = 4


@dataclass(frozen=True)
class Peaks:
    """Best rates of several tries: ``flops`` (2 n^3 a product) and ``bytes`` (read plus written) per second.

    ``flops`` is None on a GPU, where nothing here multiplies outside the engines.
    """

    flops: float | None
    bytes: float

    def to_json(self) -> dict[str, float | None]:
        """As JSON values."""
        return asdict(self)

    def floor(self, flops: float, moved: float) -> float:
        """Seconds that neither arithmetic nor traffic can go below."""
        return max(flops / self.flops if self.flops else 0.0, moved / self.bytes)


def measure_peaks(backend: Backend, threads: int) -> Peaks:
    """Measure the machine that ``backend`` computes on; needs ONNX Runtime and the package `onnx` on a CPU."""
    if isinstance(backend, DeviceBackend):
        return Peaks(None, backend.copy_rate())
    return Peaks(max(_product_rate(size, threads) for size in SIZES), _copy_rate(threads))


def _product_rate(size: int, threads: int) -> float:
    from onnx import TensorProto, helper

    from ..backends.onnx_session import open_session, session_options

    arrays = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "product", arrays[:2], arrays[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = open_session(model.SerializeToString(), session_options(threads), name="product")
    matrix = np.full((size, size), 0.5, np.float32)
    return 2 * size**3 / _best(lambda: session.run(None, {"a": matrix, "b": matrix}))


def _copy_rate(threads: int) -> float:
    source, target = (np.full(COPY_BYTES // 8, value) for value in (0.5, 0.0))
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        return 2 * source.nbytes / _best(lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)))


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
