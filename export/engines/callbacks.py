"""What the library calls during a build: where its messages, its progress and the engine's bytes go."""

import hashlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, BinaryIO, Protocol

from ...errors import BuildError
from .api import Library

#: The library adds this to every error on a machine without a GPU; it says nothing about the graph.
_NOISE = "catchCudaError"


class Progress(Protocol):
    """Who watches a build: stages, and within one the builder's own phases, which nest. Called from any thread."""

    def stage_started(self, stage: str) -> None: ...
    def stage_finished(self, stage: str, note: str) -> None: ...
    def phase_started(self, phase: str, parent: str | None, steps: int) -> None: ...
    def step_done(self, phase: str, step: int) -> None: ...
    def phase_finished(self, phase: str) -> None: ...


class Silent:
    """Nobody watches."""

    def stage_started(self, stage: str) -> None: ...
    def stage_finished(self, stage: str, note: str) -> None: ...
    def phase_started(self, phase: str, parent: str | None, steps: int) -> None: ...
    def step_done(self, phase: str, step: int) -> None: ...
    def phase_finished(self, phase: str) -> None: ...


class Messages:
    """The library's warnings and errors, each once, in order; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def add(self, severity: str, text: str) -> None:
        """Keep a message; ``severity`` is the name of the library's own level."""
        kept = {"WARNING": self.warnings, "ERROR": self.errors, "INTERNAL_ERROR": self.errors}.get(severity)
        if kept is None or _NOISE in text:
            return
        with self._lock:
            if text not in kept:
                kept.append(text)

    def last_errors(self, count: int = 5) -> str:
        """The last errors, cut to a readable length."""
        return "; ".join(text.strip()[:400] for text in self.errors[-count:]) or "no message"


class Output:
    """A file that an engine is streamed to, and the checksum of what was written.

    An exception cannot cross the library, so the first one is kept in ``error`` for the caller to raise.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write a part; return how much of it was written."""
        if self.error is not None:
            return 0
        try:
            self._stream.write(data)
        except OSError as error:
            self.error = error
            return 0
        self.digest.update(data)
        self.bytes += len(data)
        return len(data)


def monitor(trt: Library, progress: Progress, asked_to_stop: threading.Event) -> Any:
    """The library's progress monitor: it tells ``progress``, and ends the build once ``asked_to_stop`` is set."""

    base: Any = trt.IProgressMonitor

    class Monitor(base):
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_started(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step_done(phase_name, step)
            return not asked_to_stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finished(phase_name)

    return Monitor()


def writer(trt: Library, output: Output) -> Any:
    """The library's stream writer onto ``output``."""

    base: Any = trt.IStreamWriter

    class Writer(base):
        def __init__(self) -> None:
            base.__init__(self)

        def write(self, data: bytes) -> int:
            return output.write(data)

    return Writer()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let Ctrl-C and termination end a build: they set the event, and raise when the library has returned.

    Raised at once they would land in one of the callbacks above, where the library prints and forgets them.

    Raises:
        KeyboardInterrupt: one of them came; it carries the signal's number.
    """
    asked = threading.Event()
    came: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        came.append(number)
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield asked
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in signals]
    try:
        yield asked
    except BuildError:
        if not asked.is_set():
            raise
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt(came[0])
