"""Ctrl-C and SIGTERM end a command alike: the first stops it where it is, the second kills it."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["GRACE", "Terminated", "exit_code", "stoppable"]

GRACE = 10.0  # seconds after the first signal in which a command may end by itself

# A signal that is ignored (nohup, a job in the background) or that a host program handles stays as it is.
USUAL: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

Tell = Callable[[BaseException], object]


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a scheduler that takes the machine back; what stops for Ctrl-C stops for it too."""


def exit_code(error: BaseException | None) -> int:
    """128 and the signal's number, as shells have it: 143 for SIGTERM, 130 for Ctrl-C."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def stoppable(tell: Tell) -> Iterator[None]:
    """Raise `Terminated` or KeyboardInterrupt in the main thread at the first signal; end the process at the second.

    The main thread may be deep in compiled code, where it does not notice. So a thread of its own watches: `GRACE`
    seconds after the first signal it ends the process whatever it does. A store may be killed at any moment.

    Parameters
    ----------
    tell : callable
        Called with the exception if the process has to be ended like that, to say what to do next.
    """
    caught = [number for number, usual in USUAL.items() if signal.getsignal(number) == usual]
    if threading.current_thread() is not threading.main_thread() or not caught:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watch = _Watch(reader, set(map(int, caught)), tell)

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)
        watch.stopped = True
        raise _error(number)

    def restore() -> None:
        signal.set_wakeup_fd(-1)
        for each in caught:
            signal.signal(each, USUAL[each])

    def forked() -> None:
        if (
            watch.active
        ):  # a child process is to die of a signal as it would without this, and not to tell its parent
            restore()

    os.register_at_fork(after_in_child=forked)
    # Python writes a signal's number there when it comes, not when the main thread gets to its handler.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for each in caught:
        signal.signal(each, stop)
    threading.Thread(target=watch.run, name="signals", daemon=True).start()
    try:
        yield
    finally:
        watch.active = False
        if not watch.stopped:
            restore()
            os.close(writer)  # ends the thread


class _Watch:
    """The thread that waits for signals, and for the end of the grace."""

    def __init__(self, reader: int, caught: set[int], tell: Tell) -> None:
        self.reader, self.caught, self.tell = reader, caught, tell
        self.active = True  # the command runs
        self.stopped = False  # the main thread has noticed a signal

    def run(self) -> None:
        number = self._next(None)
        if number is None:
            os.close(self.reader)
            return
        second = self._next(time.monotonic() + GRACE)
        try:
            if self.active:  # else the main thread has said it
                self.tell(_error(number))
        finally:
            os._exit(128 + (second or number))

    def _next(self, deadline: float | None) -> int | None:
        """The next signal; None when time is up or there will be none."""
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self.reader], [], [], left)[0]:
                return None
            received = os.read(self.reader, 1)
            if not received:
                return None
            if received[0] in self.caught:
                return received[0]


def _error(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
