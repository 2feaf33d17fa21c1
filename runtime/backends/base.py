"""The interface between the refinement loop and what computes: stages, and the little arithmetic between them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..bundle.reader import Bundle
from ..images import mean_squared_error, to_uint8
from .layer_runs import LayerRun

#: An array where the backend keeps it: numpy on the CPU, device memory elsewhere. It has a ``shape``; only its backend
#: looks inside.
Array: TypeAlias = Any
#: Tuned weights and energies of one photo, under the names that `synthesis` takes.
Weights: TypeAlias = Mapping[str, Array]
HostArray: TypeAlias = NDArray[np.float32]
#: A point in time that its backend understands.
Mark: TypeAlias = Any


class Backend(ABC):
    """Runs the stages of one bundle. Safe to share between threads; arrays are float32, batch first.

    ``untuned`` are the generator's own weights, what the loop starts from. They, tuned weights and offsets are of the
    bundle's precision. ``precision`` is that, or what the backend computes in if it was asked for less.
    """

    name: str
    precision: str
    untuned: Weights

    @abstractmethod
    def encode(self, image: Array) -> Array:
        """Photos [B, 3, H, W] in [-1, 1] to codes [B, n_styles, 512]."""

    @abstractmethod
    def predict(self, image: Array, reconstruction: Array) -> Array:
        """Photos and reconstructions [B, 3, H, W] to one step's offset codes [B, n_tuned, 512]."""

    @abstractmethod
    def tune(self, offset_codes: Array, steps: int) -> Weights:
        """One photo's kept offset codes [K, n_tuned, 512] over ``steps`` >= 1 steps to its tuned weights.

        K is 1 where the codes are summed, ``steps`` where each step's are kept.
        """

    @abstractmethod
    def synthesize(self, codes: Array, weights: Weights) -> tuple[Array, Array]:
        """Codes [N, n_styles, 512] to images [N, 3, height, width] and reconstructions [N, 3, H, W]."""

    @abstractmethod
    def offsets(self, offset_codes: Array, steps: int) -> Mapping[str, Array]:
        """One photo's kept offset codes to ``offset.<layer>``: [out, in], or [out, in, k, k] where it is not tiled."""

    @abstractmethod
    def squared_error(self, left: Array, right: Array) -> Array:
        """The paper's L2, one value a photo: mean of ``(left - right)^2`` over [B, 3, H, W]; [B] float64."""

    @abstractmethod
    def pixels(self, image: Array) -> Array:
        """Images [N, 3, height, width] about [-1, 1] to [N, height, width, 3] uint8, as ``images.to_uint8`` does."""

    @abstractmethod
    def compute(self, key: Hashable, work: Callable[[Array], Sequence[Array]], array: HostArray) -> list[NDArray[Any]]:
        """Upload an array, do ``work`` on it, and download what it returns.

        ``work`` calls nothing but this backend, and what it calls depends on ``key`` alone: a backend that can record
        work does it once a key and replays it.
        """

    @abstractmethod
    def upload(self, array: HostArray) -> Array:
        """Bring a host array to where the backend keeps its arrays."""

    @abstractmethod
    def download(self, array: Array) -> NDArray[Any]:
        """Bring an array to the host."""

    @abstractmethod
    def add(self, left: Array, right: Array) -> Array:
        """Elementwise sum."""

    @abstractmethod
    def row(self, array: Array, index: int) -> Array:
        """Row ``index`` of a batch, as a batch of one."""

    @abstractmethod
    def concatenate(self, rows: Sequence[Array]) -> Array:
        """Batches joined along the first axis."""

    @abstractmethod
    def mark(self) -> Mark:
        """A point in the calling thread's work: when everything that was asked for so far is done."""

    @abstractmethod
    def seconds(self, start: Mark, end: Mark) -> float:
        """The time between two marks; waits until the later one is reached."""

    def layer_runs(self) -> list[LayerRun]:
        """The layers of every run so far, in order, of a backend opened with ``Options.layers``; it notes no more.

        Raises:
            BackendError: the backend cannot tell, or was not asked to when it was opened.
        """
        raise BackendError(f"{self.name} tells no times of layers", hint="onnxruntime, openvino and TensorRT's do.")


class GraphBackend(Backend):
    """A backend on the host that runs the portable graphs by name; ``noises`` are constant inputs of `synthesis`."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.precision = bundle, bundle.manifest.arithmetic
        constants = bundle.constants()
        self.untuned = {name: array for name, array in constants.items() if name.startswith(("weight.", "energy."))}
        self.noises = {name: array for name, array in constants.items() if name.startswith("noise.")}

    @abstractmethod
    def run(self, stage: str, inputs: Mapping[str, Array]) -> list[Array]:
        """Run a graph; its outputs in the manifest's order.

        Raises:
            BackendError: the graph cannot be loaded or run.
        """

    def encode(self, image: Array) -> Array:
        return self.run("encoder", {"image": image})[0]

    def predict(self, image: Array, reconstruction: Array) -> Array:
        return self.run("hypernet", {"image": image, "reconstruction": reconstruction})[0]

    def tune(self, offset_codes: Array, steps: int) -> Weights:
        return self._named("weights", offset_codes, steps)

    def offsets(self, offset_codes: Array, steps: int) -> Mapping[str, Array]:
        return self._named("offsets", offset_codes, steps)

    def _named(self, stage: str, offset_codes: Array, steps: int) -> Mapping[str, Array]:
        outputs = self.run(stage, {"offset_codes": offset_codes, "steps": np.asarray(steps, np.float32)})
        names = [tensor.name for tensor in self.bundle.manifest.graphs[stage].outputs]
        return dict(zip(names, outputs, strict=True))

    def synthesize(self, codes: Array, weights: Weights) -> tuple[Array, Array]:
        stage = "synthesis_one" if codes.shape[0] == 1 else "synthesis"
        image, reconstruction = self.run(stage, {"codes": codes, **weights, **self.noises})
        return image, reconstruction

    def squared_error(self, left: Array, right: Array) -> Array:
        return mean_squared_error(left, right)

    def pixels(self, image: Array) -> Array:
        return to_uint8(image)

    def compute(self, key: Hashable, work: Callable[[Array], Sequence[Array]], array: HostArray) -> list[NDArray[Any]]:
        return [self.download(output) for output in work(self.upload(array))]

    def upload(self, array: HostArray) -> Array:
        return array

    def download(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def add(self, left: Array, right: Array) -> Array:
        return left + right

    def row(self, array: Array, index: int) -> Array:
        return array[index : index + 1]

    def concatenate(self, rows: Sequence[Array]) -> Array:
        return np.concatenate(rows)

    def mark(self) -> Mark:
        return time.perf_counter()

    def seconds(self, start: Mark, end: Mark) -> float:
        return float(end - start)
