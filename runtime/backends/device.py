"""The loop on a GPU: a backend that keeps every array in device memory, whatever runs the graphs."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ...kernels.arithmetic import decoded
from ...kernels.library import KernelLibrary, LayerArrays
from ..bundle.reader import Bundle
from ..methods.base import Arrays, Method
from .base import Backend, HostArray, Mark, Named
from .memory import Device, DeviceArray, Recording
from .node_runs import NodeRun

#: Recordings that are kept, two for every batch size: a start and a step; the oldest goes first.
MAX_RECORDINGS = 16
#: The copies that tell the memory's rate: far more than a cache holds.
COPY_BYTES, COPIES = 256 << 20, 5


class GraphRunner(ABC):
    """Runs a bundle's graphs on device memory."""

    name: str
    #: Whether the work of ``run`` can be recorded.
    recordable: bool

    @abstractmethod
    def run(self, graph: str, arrays: Mapping[str, DeviceArray]) -> None:
        """Queue a graph: ``arrays`` holds its every input and output, outputs to be written.

        Raises:
            BackendError: the graph was not built or cannot run with these shapes.
        """

    def node_runs(self) -> list[NodeRun]:
        """As ``Backend.node_runs``."""
        raise BackendError(f"{self.name} tells no times of nodes", hint="TensorRT and TensorRT-RTX do.")


def loop_graphs(method: Method) -> list[str]:
    """The graphs that a device runs in the loop: in place of `weights` the offsets, for the kernel."""
    return [graph for graph in method.signatures() if graph not in ("weights", "synthesis", method.syntheses[0])]


class DeviceBackend(Backend):
    """Runs graphs on a GPU, with the project's kernels between them; nothing leaves it until it is downloaded.

    `weights` is the graph `offsets` followed by the modulation kernel. All work goes to one stream, one thread at a
    time, so sessions that threads share give the serial answers, and memory can be reused in the order of the work.
    """

    def __init__(self, bundle: Bundle, device: Device, runner: GraphRunner, kernels: KernelLibrary) -> None:
        super().__init__(bundle)
        self.name, self.records = runner.name, runner.recordable
        self._device, self._runner, self._kernels = device, runner, kernels
        self._lock = threading.RLock()
        self._recordings: dict[Hashable, tuple[Mapping[Any, DeviceArray], Recording[Named]]] = {}
        with self._use():
            self.constants = {name: self._placed(array) for name, array in bundle.constants().items()}

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        with self._use():
            if graph == "weights":
                return self._tuned(inputs)
            arrays = self.completed(graph, inputs)
            outputs = self._allocate_outputs(graph, arrays)
            self._runner.run(graph, {**arrays, **outputs})
            return outputs

    def _tuned(self, inputs: Arrays) -> Arrays:
        """Weights and energies from one photo's offset codes."""
        offsets = self.run("offsets", inputs)
        names = [tensor.name for tensor in self.manifest.graphs["weights"].outputs]
        base = {name: self.constants[name] for name in names}
        tuned = {name: self._device.allocate(array.shape, array.dtype) for name, array in base.items()}
        layers = [
            LayerArrays(
                layer,
                base=base[f"weight.{layer.name}"].pointer,
                weight=tuned[f"weight.{layer.name}"].pointer,
                offset=offsets[f"offset.{layer.name}"].pointer,
                energy=tuned[f"energy.{layer.name}"].pointer if layer.demodulated else None,
            )
            for layer in self.manifest.tuned
        ]
        dtypes = base[names[0]].dtype, next(iter(offsets.values())).dtype
        self._kernels.modulation(layers, *dtypes).launch(self._device.stream)
        return tuned

    def squared_error(self, left: DeviceArray, right: DeviceArray) -> DeviceArray:
        with self._use():
            errors = self._device.allocate(left.shape[:1], "float64")
            size = prod(left.shape[1:])
            self._kernels.squared_error(
                left.pointer, right.pointer, errors.pointer, left.shape[0], size, self._device.stream
            )
            return errors

    def pixels(self, image: DeviceArray) -> DeviceArray:
        with self._use():
            count, channels, height, width = image.shape
            pixels = self._device.allocate((count, height, width, channels), "uint8")
            self._kernels.pixels(image.pointer, pixels.pointer, count, height * width, self._device.stream)
            return pixels

    def add(self, left: DeviceArray, right: DeviceArray) -> DeviceArray:
        with self._use():
            total = self._device.allocate(left.shape, left.dtype)
            self._kernels.add(left.pointer, right.pointer, total.pointer, prod(left.shape), self._device.stream)
            return total

    def row(self, array: DeviceArray, index: int) -> DeviceArray:
        return array.row(index)

    def concatenate(self, rows: Sequence[DeviceArray]) -> DeviceArray:
        if len(rows) == 1:
            return rows[0]
        with self._use():
            whole = self._device.allocate((sum(row.shape[0] for row in rows), *rows[0].shape[1:]), rows[0].dtype)
            pointer = whole.pointer
            for row in rows:
                self._device.copy(row, pointer)
                pointer += row.nbytes
            return whole

    def adam(
        self,
        variable: str,
        value: DeviceArray,
        gradient: DeviceArray,
        moments: tuple[DeviceArray, DeviceArray],
        rates: DeviceArray,
    ) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        first, second = moments
        inputs = {"value": value, "gradient": gradient, "first": first, "second": second, "rates": rates}
        after = self.run(f"adam_{variable}", inputs)
        return after["value_after"], after["first_after"], after["second_after"]

    def upload(self, array: HostArray) -> DeviceArray:
        with self._use():
            return self._placed(array)

    def download(self, array: DeviceArray) -> NDArray[Any]:
        with self._use():
            host = self._device.download(array)
        return decoded(host, array.dtype) if array.dtype in ("float16", "bfloat16") else host

    def replay(self, name: str, work: Callable[[Named], Named], inputs: Named) -> Named:
        if not self.records:
            return work(inputs)
        with self._use():
            # Whatever their order: the first step's arrays come from elsewhere than the next ones'.
            key = name, frozenset((place, array.shape, array.dtype) for place, array in inputs.items())
            if key not in self._recordings:
                if len(self._recordings) == MAX_RECORDINGS:
                    del self._recordings[next(iter(self._recordings))]
                places = {place: self._copied(array) for place, array in inputs.items()}
                self._recordings[key] = places, self._device.record(lambda: work(places))
            own, recording = self._recordings[key]
            for place, array in inputs.items():
                self._device.copy(array, own[place].pointer)
            recording.replay()
            # The next replay writes over what is here; an array is a value.
            return {place: self._copied(array) for place, array in recording.result.items()}

    def _copied(self, array: DeviceArray) -> DeviceArray:
        copy = self._device.allocate(array.shape, array.dtype)
        self._device.copy(array, copy.pointer)
        return copy

    def mark(self) -> Mark:
        with self._use():
            return self._device.event()

    def seconds(self, start: Mark, end: Mark) -> float:
        with self._use():
            return self._device.seconds(start, end)

    def node_runs(self) -> list[NodeRun]:
        with self._use():
            return self._runner.node_runs()

    def copy_rate(self) -> float:
        """Bytes read plus bytes written per second by a copy within the device's memory; the best of several."""
        with self._use():
            source, target = (self._device.allocate((COPY_BYTES,), "uint8") for _ in range(2))
            marks = [self._device.event()]
            for _ in range(COPIES):
                self._device.copy(source, target.pointer)
                marks.append(self._device.event())
            return max(2 * COPY_BYTES / self._device.seconds(*pair) for pair in pairwise(marks))

    def _allocate_outputs(self, graph: str, inputs: Arrays) -> dict[str, DeviceArray]:
        """New arrays for a graph's outputs; a free axis has the size of the inputs' axis of that name."""
        spec = self.manifest.graphs[graph]
        sizes: dict[str, int] = {}
        for tensor in spec.inputs:
            shape = inputs[tensor.name].shape
            for dim, size in zip(tensor.shape, shape, strict=False):
                if isinstance(dim, str):
                    sizes.setdefault(dim, size)
            if shape != tuple(sizes.get(dim) if isinstance(dim, str) else dim for dim in tensor.shape):
                raise BackendError(f"{graph} cannot take {tensor.name}", got=list(shape), expected=list(tensor.shape))
        return {
            tensor.name: self._device.allocate(
                tuple(sizes[dim] if isinstance(dim, str) else dim for dim in tensor.shape), tensor.dtype
            )
            for tensor in spec.outputs
        }

    def _placed(self, array: NDArray[Any]) -> DeviceArray:
        # The bundle's reader has bfloat16 as its bits, since numpy lacks it.
        dtype = "bfloat16" if array.dtype == np.uint16 else array.dtype.name
        placed = self._device.allocate(array.shape, dtype)
        self._device.upload(array, placed)
        return placed

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._lock, self._device.active():
            yield
