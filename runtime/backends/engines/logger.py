"""TensorRT's logger: the library takes one a process, so all who want to hear of errors share it."""

import threading
from collections.abc import Hashable
from functools import cache
from typing import Any, Protocol, cast
from weakref import WeakSet


class Listener(Protocol):
    """Who hears what the library says: the name of its level, such as "ERROR", and the text. From any thread."""

    def add(self, severity: str, text: str) -> None: ...


def logger(module: object, listener: Listener) -> Any:
    """The logger of ``tensorrt`` or ``tensorrt_rtx``; ``listener`` hears all that it is told while it lives.

    The library keeps the first logger of a process for as long as anything made with it lives, and ignores others.
    """
    log = _only_logger(module)
    log.listeners.add(listener)
    return log


@cache
def _only_logger(module: Hashable) -> Any:
    base: Any = cast(Any, module).ILogger

    class Logger(base):
        def __init__(self) -> None:
            base.__init__(self)
            self.listeners = Listeners()

        def log(self, severity: Any, text: str) -> None:
            self.listeners.tell(severity.name, text)

    return Logger()


class Listeners:
    """Those who are still there."""

    def __init__(self) -> None:
        self._all: WeakSet[Listener] = WeakSet()
        self._lock = threading.Lock()

    def add(self, listener: Listener) -> None:
        with self._lock:
            self._all.add(listener)

    def tell(self, severity: str, text: str) -> None:
        with self._lock:
            present = list(self._all)
        for listener in present:
            listener.add(severity, text)
