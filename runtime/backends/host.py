"""Backends on the host: arrays are NumPy's, constants are the bundle's files in memory."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.reader import Bundle
from ..images import mean_squared_error, to_uint8
from ..methods.base import Array, Arrays
from .adam import adam
from .base import Backend, HostArray, Mark


class HostBackend(Backend):
    """A backend that runs the portable graphs on NumPy arrays."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.constants = bundle.constants()

    @abstractmethod
    def outputs(self, graph: str, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a graph on all of its inputs, in order; its outputs in the manifest's order.

        Raises:
            BackendError: the graph cannot be loaded or run.
        """

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        outputs = self.outputs(graph, self.completed(graph, inputs))
        return {spec.name: array for spec, array in zip(self.manifest.graphs[graph].outputs, outputs, strict=True)}

    def squared_error(self, left: Array, right: Array) -> Array:
        return mean_squared_error(left, right)

    def pixels(self, image: Array) -> Array:
        return to_uint8(image)

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

    def adam(
        self, variable: str, value: Array, gradient: Array, moments: tuple[Array, Array], rates: Array
    ) -> tuple[Array, Array, Array]:
        """The moments change in place: of tuned weights they are as large as the generator."""
        return (adam(value, gradient, moments, rates), *moments)

    def mark(self) -> Mark:
        return time.perf_counter()

    def seconds(self, start: Mark, end: Mark) -> float:
        return float(end - start)
