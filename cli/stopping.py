"""A command that was told to stop ends, even where a library's call never returns."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Seconds from the signal to the end, whatever still runs: a step at 1024 on a slow processor, and cleaning up.
GRACE = 30.0
ASKED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heeding_signals(drains: bool) -> Iterator[None]:
    """See to it that SIGTERM stops the command as Ctrl-C does, and that either ends it.

    Python's handlers run between two of its own steps: while a graph runs in a library they wait. So another thread is
    told of signals as well, and ends the process when its time is over.

    Args:
        drains: the command finishes what was begun, in its own time.
    """
    signal.signal(signal.SIGTERM, _terminated)
    if drains:
        yield
        return
    received, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_when_asked, args=(received,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        told.close()


def _terminated(number: int, frame: FrameType | None) -> None:
    """A terminated run cleans up as an interrupted one does; the exception carries the signal, for the exit status."""
    raise KeyboardInterrupt(number)


def _end_when_asked(received: socket.socket) -> None:
    """Wait for a signal, and then for the command to end by itself: the process's end is this thread's as well."""
    with received:
        while told := received.recv(1):
            if told[0] in ASKED:
                time.sleep(GRACE)
                message = "Stopped in the middle of a call that did not return. What was written before is whole."
                end_at_once(message, 128 + told[0])


def end_at_once(message: str, status: int) -> NoReturn:
    """End the process, whatever its threads are at."""
    os.write(2, f"{message}\n".encode())
    os._exit(status)
