"""What computes: graphs by name, and the little arithmetic between them that the loop and the methods need."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError
from ..bundle.reader import Bundle
from ..manifest.manifest import Manifest
from ..methods.base import Array, Arrays, Method
from .node_runs import NodeRun

HostArray: TypeAlias = NDArray[np.float32]
#: A point in time that its backend understands.
Mark: TypeAlias = Any
#: Arrays under whatever keys the caller has.
Named: TypeAlias = Mapping[Any, Array]


class Backend(ABC):
    """Runs the graphs of one bundle. Safe to share between threads; arrays are float32, batch first.

    Of an array nobody else knows more than its ``shape``, and an array is a value: no later work changes it.
    ``constants`` are the bundle's, of its precision. ``precision`` is that, or what the backend computes in if it was
    asked for less. ``records`` says whether it records work that is done again (``replay``).
    """

    name: str
    precision: str
    records: bool = False

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.precision = bundle, bundle.manifest.arithmetic
        self.constants: Arrays = {}

    @property
    def manifest(self) -> Manifest:
        """The bundle's."""
        return self.bundle.manifest

    @property
    def method(self) -> Method:
        """The bundle's."""
        return self.bundle.method

    @abstractmethod
    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """Run a graph by its name on arrays by theirs; inputs that are not given are the bundle's constants.

        Raises:
            BackendError: the graph cannot be loaded or run, or cannot take an input.
        """

    @abstractmethod
    def squared_error(self, left: Array, right: Array) -> Array:
        """The loop's L2, one value a photo: mean of ``(left - right)^2`` over [B, 3, H, W]; [B] float64."""

    @abstractmethod
    def pixels(self, image: Array) -> Array:
        """Images [N, 3, height, width] about [-1, 1] to [N, height, width, 3] uint8, as ``images.to_uint8`` does."""

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
    def adam(
        self, variable: str, value: Array, gradient: Array, moments: tuple[Array, Array], rates: Array
    ) -> tuple[Array, Array, Array]:
        """An update of one variable: its value after it and its moments, as ``Arithmetic.adam`` has it."""

    @abstractmethod
    def mark(self) -> Mark:
        """A point in the calling thread's work: when everything that was asked for so far is done."""

    @abstractmethod
    def seconds(self, start: Mark, end: Mark) -> float:
        """The time between two marks; waits until the later one is reached."""

    def replay(self, name: str, work: Callable[[Named], Named], inputs: Named) -> Named:
        """Do ``work`` on named arrays.

        ``work`` calls nothing but this backend, and what it calls depends on ``name`` and the inputs' names and shapes
        alone: a backend that records does so once for each of them, and replays it on the inputs of later calls.
        """
        return work(inputs)

    def node_runs(self) -> list[NodeRun]:
        """The nodes of every run so far, in order, of a backend opened with ``Options.nodes``; it notes no more.

        Raises:
            BackendError: the backend cannot tell, or was not asked to when it was opened.
        """
        raise BackendError(f"{self.name} tells no times of nodes", hint="onnxruntime, openvino and TensorRT's do.")

    def completed(self, graph: str, inputs: Arrays) -> Mapping[str, Array]:
        """A graph's inputs in order: those that are given, the bundle's constants for the others.

        Raises:
            BackendError: the graph is not in the bundle, or takes other inputs.
        """
        if graph not in self.manifest.graphs:
            raise BackendError(f"The bundle has no graph {graph}", got=", ".join(self.manifest.graphs))
        names = [tensor.name for tensor in self.manifest.graphs[graph].inputs]
        missing = [name for name in names if name not in inputs and name not in self.constants]
        if missing or not set(inputs) <= set(names):
            raise BackendError(f"{graph} takes other inputs", got=", ".join(inputs), expected=", ".join(names))
        return {name: inputs[name] if name in inputs else self.constants[name] for name in names}
