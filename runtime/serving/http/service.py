"""The service itself: bundles by name, settings, and what requests share."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from starlette.requests import Request

from ....errors import BundleError
from ...alignment import FaceFinder
from ..live.served import Loader, Served
from .metrics import Metrics
from .refusals import RefusedError
from .settings import Settings

Result = TypeVar("Result")
#: Seconds between looks at whether workers hang.
LOOK = 1.0


class Service:
    """Bundles that are served.

    Args:
        loaders: what opens each bundle, by the names that requests call them.
        settings: bounds, and where it listens.
        finder: finds faces for requests that say nothing of where they are.
        example: a photo that the page offers, a PNG file's content.
        generators: further generators that requests may name, each of one bundle at least.

    Raises:
        BundleError, BackendError, DirectionError: a bundle cannot be loaded, or none has a generator.
    """

    def __init__(
        self,
        loaders: Mapping[str, Loader],
        settings: Settings,
        finder: FaceFinder | None = None,
        example: bytes | None = None,
        generators: Collection[str] = (),
    ) -> None:
        self.settings, self.finder, self.example = settings, finder, example
        self.metrics = Metrics()
        self.bundles = {
            name: Served(name, load, settings.queueing, self.metrics, generators) for name, load in loaders.items()
        }
        _check_generators(generators, self.bundles.values())
        self.metrics.watch(self.bundles.values())
        self.draining = False
        self._until = 0.0
        #: Whether it has closed, with nothing left.
        self.is_finished = False
        #: Connections that are open; the server counts them.
        self.connections = 0
        #: Held while a body is read and decoded.
        self.bodies = asyncio.Semaphore(settings.bodies)
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, "pictures")

    def bundle(self, name: str | None) -> Served:
        """The bundle of a name; None is the first.

        Raises:
            RefusedError: there is none.
        """
        if name is None:
            return next(iter(self.bundles.values()))
        if name not in self.bundles:
            raise RefusedError(404, f"There is no bundle {name[:80]}", got=name[:80], expected=", ".join(self.bundles))
        return self.bundles[name]

    async def in_thread(self, function: Callable[[], Result]) -> Result:
        """Run something beside the loop, where pictures are decoded and encoded: as many at once as there are CPUs."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def beside(self, stage: str, function: Callable[[], Result]) -> "Future[Result]":
        """The same from any thread, with the seconds among the metrics: those that it waits for a CPU, too."""
        started = time.monotonic()

        def timed() -> Result:
            try:
                return function()
            finally:
                self.metrics.spent(stage, time.monotonic() - started)

        return self._pool.submit(timed)

    async def timed(self, stage: str, function: Callable[[], Result]) -> Result:
        """``beside``, for the loop."""
        return await asyncio.wrap_future(self.beside(stage, function))

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken, for every bundle."""
        return not self.draining and not any(served.worker.is_stuck for served in self.bundles.values())

    @property
    def is_alive(self) -> bool:
        """Whether all bundles answer, or will again by themselves."""
        return not any(served.is_lost for served in self.bundles.values())

    async def watch(self) -> None:
        """Look after the workers, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            for served in self.bundles.values():
                if served.worker.is_stuck:
                    await self.in_thread(served.heal)

    def reload(self) -> bool:
        """Load every bundle again; returns whether all could be. One that is damaged stays as it was."""
        loaded = [served.reload() for served in self.bundles.values()]
        return all(loaded)

    def drain(self) -> None:
        """Take nothing more; what waits is still done, within the time for it from now on."""
        if not self.draining:
            self._until = time.monotonic() + self.settings.drain
        self.draining = True
        for served in self.bundles.values():
            served.worker.drain()

    def close(self) -> bool:
        """Drain, and wait until all is done; returns whether it was, within the time for it."""
        self.drain()
        done = [served.worker.close(max(0.0, self._until - time.monotonic())) for served in self.bundles.values()]
        self.is_finished = all(done)
        return self.is_finished


def _check_generators(generators: Collection[str], bundles: Collection[Served]) -> None:
    there = {spec.name for served in bundles for spec in served.session.manifest.generators}
    if missing := [name for name in generators if name not in there]:
        raise BundleError(
            f"No bundle has a generator {missing[0][:40]}",
            got=", ".join(sorted(there)) or "none but their own",
            hint=f"Export the checkpoint again with --generator {missing[0][:40]}=FILE.",
        )


def tell(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
    """Have the loop call something, from any thread; a loop that has ended has nobody who waits for it."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service
