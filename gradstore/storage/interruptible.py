"""Waits for a library that does not listen to signals, so that Ctrl-C is heard at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["interruptible"]

T = TypeVar("T")


def interruptible(operation: Callable[[], T]) -> T:
    """What `operation` returns or raises; the main thread lets another one wait for it.

    An interrupted operation goes on until it ends or the process does.
    """
    if threading.current_thread() is not threading.main_thread():
        return operation()  # signals go to the main thread
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(operation())
        except BaseException as error:  # noqa: BLE001 (raised again below)
            errors.append(error)

    waiting = threading.Thread(target=run, daemon=True)
    waiting.start()
    waiting.join()
    if errors:
        raise errors.pop()
    return results.pop()
