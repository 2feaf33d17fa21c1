"""A backend around another one: what looks at the runs of the loop's graphs is made of it."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from ..methods.base import Array, Arrays
from .base import Backend, HostArray, Mark, Named


class Wrapper(Backend):
    """Passes everything on to ``inner``. Work is done plainly: what is recorded could not be looked at run by run."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner.bundle)
        self.inner = inner
        self.name, self.precision, self.constants = inner.name, inner.precision, inner.constants

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        return self.inner.run(graph, inputs)

    def replay(self, name: str, work: Callable[[Named], Named], inputs: Named) -> Named:
        return work(inputs)

    def squared_error(self, left: Array, right: Array) -> Array:
        return self.inner.squared_error(left, right)

    def pixels(self, image: Array) -> Array:
        return self.inner.pixels(image)

    def upload(self, array: HostArray) -> Array:
        return self.inner.upload(array)

    def download(self, array: Array) -> NDArray[Any]:
        return self.inner.download(array)

    def add(self, left: Array, right: Array) -> Array:
        return self.inner.add(left, right)

    def row(self, array: Array, index: int) -> Array:
        return self.inner.row(array, index)

    def concatenate(self, rows: Sequence[Array]) -> Array:
        return self.inner.concatenate(rows)

    def adam(
        self, variable: str, value: Array, gradient: Array, moments: tuple[Array, Array], rates: Array
    ) -> tuple[Array, Array, Array]:
        return self.inner.adam(variable, value, gradient, moments, rates)

    def mark(self) -> Mark:
        return self.inner.mark()

    def seconds(self, start: Mark, end: Mark) -> float:
        return self.inner.seconds(start, end)
