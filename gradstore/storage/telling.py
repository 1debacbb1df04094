"""Says what takes long, to whoever listens to the logger ``gradstore``; the command line does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PATIENT", "tell", "told_meanwhile"]

PATIENT = 3.0
"""Seconds of waiting that need no word."""


def tell(line: str) -> None:
    """Say one line."""
    logging.getLogger("gradstore").info("%s", line)


@contextmanager
def told_meanwhile(line: str) -> Iterator[None]:
    """Say a line if what is done inside takes long."""
    timer = threading.Timer(PATIENT, tell, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
