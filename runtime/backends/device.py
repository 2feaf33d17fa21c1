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
from .base import Backend, HostArray, Mark, Weights
from .layer_runs import LayerRun
from .memory import Device, DeviceArray, Recording

#: Recordings that are kept, one for every batch size and number of steps; the oldest goes first.
MAX_RECORDINGS = 8
#: The copies that tell the memory's rate: far more than a cache holds.
COPY_BYTES, COPIES = 256 << 20, 5


class StageRunner(ABC):
    """Runs a bundle's graphs on device memory."""

    name: str
    #: Whether the work of ``run`` can be recorded.
    recordable: bool

    @abstractmethod
    def run(self, stage: str, arrays: Mapping[str, DeviceArray]) -> None:
        """Queue a stage: ``arrays`` holds every input and output of its graph, outputs to be written.

        Raises:
            BackendError: the stage was not built or cannot run with these shapes.
        """

    def layer_runs(self) -> list[LayerRun]:
        """As ``Backend.layer_runs``."""
        raise BackendError(f"{self.name} tells no times of layers", hint="TensorRT and TensorRT-RTX do.")


class DeviceBackend(Backend):
    """Runs stages on a GPU, with the project's kernels between them; nothing leaves it until it is downloaded.

    `weights` is the stage `offsets` followed by the modulation kernel. All work goes to one stream, one thread at a
    time, so sessions that threads share give the serial answers, and memory can be reused in the order of the work.
    """

    def __init__(self, bundle: Bundle, device: Device, runner: StageRunner, kernels: KernelLibrary) -> None:
        self.name, self.precision = runner.name, bundle.manifest.arithmetic
        self._manifest, self._device, self._runner, self._kernels = bundle.manifest, device, runner, kernels
        self._lock = threading.RLock()
        self._recordings: dict[Hashable, tuple[DeviceArray, Recording[list[DeviceArray]]]] = {}
        self._scalars: dict[int, DeviceArray] = {}
        with self._use():
            constants = {name: self._constant(array) for name, array in bundle.constants().items()}
        self.untuned = {name: array for name, array in constants.items() if name.startswith(("weight.", "energy."))}
        self._weight_dtype = next((array.dtype for name, array in self.untuned.items() if "weight." in name), "float32")
        self._noises = {name: array for name, array in constants.items() if name.startswith("noise.")}

    def encode(self, image: DeviceArray) -> DeviceArray:
        return self._run("encoder", {"image": image})["codes"]

    def predict(self, image: DeviceArray, reconstruction: DeviceArray) -> DeviceArray:
        return self._run("hypernet", {"image": image, "reconstruction": reconstruction})["offset_codes"]

    def offsets(self, offset_codes: DeviceArray, steps: int) -> Mapping[str, DeviceArray]:
        with self._use():
            return self._run("offsets", {"offset_codes": offset_codes, "steps": self._scalar(steps)})

    def tune(self, offset_codes: DeviceArray, steps: int) -> Weights:
        with self._use():
            offsets = self.offsets(offset_codes, steps)
            tuned = {name: self._device.allocate(array.shape, array.dtype) for name, array in self.untuned.items()}
            layers = [
                LayerArrays(
                    layer,
                    base=self.untuned[f"weight.{layer.name}"].pointer,
                    weight=tuned[f"weight.{layer.name}"].pointer,
                    offset=offsets[f"offset.{layer.name}"].pointer,
                    energy=tuned[f"energy.{layer.name}"].pointer if layer.demodulated else None,
                )
                for layer in self._manifest.tuned
            ]
            offset_dtype = next(iter(offsets.values())).dtype
            self._kernels.modulation(layers, self._weight_dtype, offset_dtype).launch(self._device.stream)
            return tuned

    def synthesize(self, codes: DeviceArray, weights: Weights) -> tuple[DeviceArray, DeviceArray]:
        stage = "synthesis_one" if codes.shape[0] == 1 else "synthesis"
        outputs = self._run(stage, {"codes": codes, **weights, **self._noises})
        return outputs["image"], outputs["reconstruction"]

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

    def upload(self, array: HostArray) -> DeviceArray:
        with self._use():
            return self._constant(array)

    def download(self, array: DeviceArray) -> NDArray[Any]:
        with self._use():
            host = self._device.download(array)
        return decoded(host, array.dtype) if array.dtype in ("float16", "bfloat16") else host

    def compute(
        self, key: Hashable, work: Callable[[DeviceArray], Sequence[DeviceArray]], array: HostArray
    ) -> list[NDArray[Any]]:
        with self._use():
            if not self._runner.recordable:
                return [self._device.download(output) for output in work(self._constant(array))]
            if key not in self._recordings:
                if len(self._recordings) == MAX_RECORDINGS:
                    del self._recordings[next(iter(self._recordings))]
                photos = self._constant(array)
                self._recordings[key] = photos, self._device.record(lambda: list(work(photos)))
            photos, recording = self._recordings[key]
            self._device.upload(array, photos)
            recording.replay()
            return [self._device.download(output) for output in recording.result]

    def mark(self) -> Mark:
        with self._use():
            return self._device.event()

    def seconds(self, start: Mark, end: Mark) -> float:
        with self._use():
            return self._device.seconds(start, end)

    def layer_runs(self) -> list[LayerRun]:
        with self._use():
            return self._runner.layer_runs()

    def copy_rate(self) -> float:
        """Bytes read plus bytes written per second by a copy within the device's memory; the best of several."""
        with self._use():
            source, target = (self._device.allocate((COPY_BYTES,), "uint8") for _ in range(2))
            marks = [self._device.event()]
            for _ in range(COPIES):
                self._device.copy(source, target.pointer)
                marks.append(self._device.event())
            return max(2 * COPY_BYTES / self._device.seconds(*pair) for pair in pairwise(marks))

    def _run(self, stage: str, inputs: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        """Run a stage into new arrays; a free axis of an output has the size of the inputs' axis of that name."""
        spec = self._manifest.graphs[stage]
        sizes: dict[str, int] = {}
        for tensor in spec.inputs:
            array = inputs[tensor.name]
            for dim, size in zip(tensor.shape, array.shape, strict=True):
                if isinstance(dim, str):
                    sizes.setdefault(dim, size)
                if size != (sizes[dim] if isinstance(dim, str) else dim):
                    raise BackendError(
                        f"{stage} cannot take {tensor.name}", got=list(array.shape), expected=list(tensor.shape)
                    )
        with self._use():
            outputs = {
                tensor.name: self._device.allocate(
                    tuple(sizes[dim] if isinstance(dim, str) else dim for dim in tensor.shape), tensor.dtype
                )
                for tensor in spec.outputs
            }
            self._runner.run(stage, {**inputs, **outputs})
        return outputs

    def _scalar(self, value: int) -> DeviceArray:
        """A number as a graph takes it; kept, since a recording cannot upload."""
        if value not in self._scalars:
            self._scalars[value] = self._constant(np.asarray(value, np.float32))
        return self._scalars[value]

    def _constant(self, array: NDArray[Any]) -> DeviceArray:
        # The bundle's reader has bfloat16 as its bits, since numpy lacks it.
        dtype = "bfloat16" if array.dtype == np.uint16 else array.dtype.name
        placed = self._device.allocate(array.shape, dtype)
        self._device.upload(array, placed)
        return placed

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._lock, self._device.active():
            yield
