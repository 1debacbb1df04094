"""Tries again what failed for a passing reason, for a bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from gradstore.storage.faults import Fault
from gradstore.storage.telling import PATIENT, tell

__all__ = ["PATIENCE", "Patience", "Persistence"]

T = TypeVar("T")


class Patience(NamedTuple):
    """How long to try, in seconds.

    Attributes
    ----------
    first : float
        While nothing has ever succeeded: most likely the address is wrong.
    later : float
        Once something has.
    tries : int
        At most so many while the place has never answered at all.
    longest : float
        Longest wait between two tries.
    """

    first: float = 20
    later: float = 120
    tries: int = 5
    longest: float = 5


PATIENCE = Patience()
_SHORTEST_WAIT = 0.1


class Persistence:
    """Runs operations on one place, and knows whether one has ever succeeded.

    Parameters
    ----------
    where : str
        What to call the place, when it takes long.
    patience : Patience
    """

    def __init__(self, where: str, patience: Patience = PATIENCE) -> None:
        self._where, self._patience = where, patience
        self._answered = self._succeeded = False

    def __call__(self, operation: Callable[[], T | Fault]) -> T | Fault:
        """What `operation` returns; its last `Fault` if it never succeeds."""
        start, tries, told = time.monotonic(), 0, False
        while True:
            result = operation()
            if not isinstance(result, Fault):
                self._succeeded = True
                return result
            self._answered = self._answered or result.answered
            tries += 1
            wait = self._wait(tries)
            if not result.passing or self._over(time.monotonic() + wait - start, tries):
                return result
            if not told and time.monotonic() - start > PATIENT:
                told = True
                tell(f"{self._where}: {result.line}; trying again for up to {self._most():.0f} s")
            time.sleep(wait)

    def _wait(self, tries: int) -> float:
        longest = min(self._patience.longest, _SHORTEST_WAIT * 2.0 ** min(tries - 1, 20))
        return longest * random.uniform(0.5, 1)  # noqa: S311

    def _most(self) -> float:
        return self._patience.later if self._succeeded else self._patience.first

    def _over(self, seconds: float, tries: int) -> bool:
        silent = not (self._succeeded or self._answered)
        return seconds > self._most() or (silent and tries >= self._patience.tries)
