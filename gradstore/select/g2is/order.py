"""Rows in the order of their scores, from which used and conflicting ones drop out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Order", "Rows", "pieces"]

Rows = npt.NDArray[np.int64]
"""Indices of rows."""


class Order:
    """Live rows by descending score, of equal ones the first row first; sorted once, when more than one is wanted.

    What is dead at the front is cut off, and what is dead further on is dropped when it has been passed as often as
    there are rows left. So walking past dead rows costs no more than sorting did, however many picks there are.

    Parameters
    ----------
    scores : ndarray, shape (N,)
    dead : ndarray of bool, shape (N,)
        Rows that never come back; somebody else's, and read anew at each step.
    """

    def __init__(self, scores: npt.NDArray[np.floating], dead: npt.NDArray[np.bool_]) -> None:
        self._scores = scores
        self._dead = dead
        self._passed = 0

    def first(self) -> int | None:
        """The first live row; None if all are dead."""
        best = int(np.where(self._dead, -np.inf, self._scores).argmax())
        return None if self._dead[best] else best

    @cached_property
    def _rows(self) -> Rows:
        live = np.flatnonzero(~self._dead)
        return live[np.argsort(-self._scores[live], kind="stable")]

    def blocks(self, first: int, most: int) -> Iterator[Rows]:
        """Yield the live rows in blocks, the first from `first` rows, then twice as many each time, up to `most`."""
        if self._passed > len(self._rows):
            self._rows = self._rows[~self._dead[self._rows]]
            self._passed = 0
        at, size = 0, first
        while at < len(self._rows):
            block = self._rows[at : at + size]
            live = block[~self._dead[block]]
            self._passed += len(block) - len(live)
            at, size = at + len(block), min(2 * size, most)
            if len(live):
                yield live
            elif at == len(block):  # all dead from the front on
                self._rows, at = self._rows[len(block) :], 0


def pieces(rows: Rows, first: int, most: int) -> Iterator[Rows]:
    """`rows` in blocks of `first` rows, then twice as many each time, up to `most`."""
    start, size = 0, first
    while start < len(rows):
        yield rows[start : start + size]
        start, size = start + size, min(2 * size, most)
