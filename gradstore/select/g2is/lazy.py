"""The engine that walks on a graph: each pair is multiplied when it is needed, and once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gradstore.graph.vectors import Float, Vectors
from gradstore.select.g2is.order import Rows
from gradstore.select.g2is.trail import ROUNDING, Trail, exact_dots

__all__ = ["LazyTrail"]

_CHEAP = 1 << 19  # multiplications that take no longer than to ask for them
_PRODUCTS = 1 << 22  # bounds the memory of the products of candidates and members
_FIRST_MEMBERS = 8


class LazyTrail(Trail):
    """A trail that compares a candidate with the members when it is asked for.

    A candidate remembers how far along the members it has been compared and the sum of those products. One conflict
    ends it for good.

    Parameters
    ----------
    rows : Vectors
    links : ndarray of int, shape (N, m)
        Neighbours by descending cosine, -1 where there is none.
    core, used, delta, tolerance
        See `Trail`.
    """

    def __init__(
        self,
        rows: Vectors,
        links: npt.NDArray[np.integer],
        core: npt.NDArray[np.floating],
        used: npt.NDArray[np.bool_],
        *,
        delta: float,
        tolerance: float,
    ) -> None:
        super().__init__(rows, core, used, delta=delta, tolerance=tolerance)
        self._links = links
        self._compared = np.zeros(len(rows), np.int32)
        self._members = np.empty((_FIRST_MEMBERS, rows.dim), np.float32)

    def nearest(self) -> Iterator[Rows]:  # noqa: D102
        near = self._links[self.last].astype(np.int64)
        yield near[near >= 0]

    def _joined(self, vector: Float) -> None:
        if self.size > len(self._members):
            grown = np.empty((2 * len(self._members), self._members.shape[1]), np.float32)
            grown[: len(self._members)] = self._members
            self._members = grown
        self._members[self.size - 1] = vector

    def _compare(self, candidates: Rows) -> None:
        seen = self._compared[candidates]
        behind = (seen < self.size) & ~self._conflict[candidates]
        candidates, seen = candidates[behind], seen[behind]
        if not len(candidates):
            return
        vectors = self._rows.take(candidates)
        while len(candidates):
            # Most conflicts show within a few members: slices grow from what costs next to nothing. Who is ahead by
            # less than that goes along; others wait until they can go on together.
            start = int(seen.min())
            cheap = max(1, _CHEAP // vectors.size)
            together = seen < start + cheap
            stop = min(self.size, start + max(cheap, min(start, _PRODUCTS // len(candidates))))
            if together.all():
                clash = self._multiply(candidates, vectors, seen, stop)
                keep = ~clash if stop < self.size else np.zeros(len(candidates), bool)
            else:
                stop = min(stop, int(seen[~together].min()))
                clash = self._multiply(candidates[together], vectors[together], seen[together], stop)
                keep = ~together
                keep[together] = ~clash & (stop < self.size)
            seen = np.maximum(seen, stop)
            candidates, seen, vectors = candidates[keep], seen[keep], vectors[keep]

    def _multiply(
        self, candidates: Rows, vectors: Float, seen: npt.NDArray[np.int32], stop: int
    ) -> npt.NDArray[np.bool_]:
        """Compare candidates with the members they have not seen, up to `stop`; returns which have a conflict."""
        start = int(seen.min())
        members = self._members[start:stop]
        dots = vectors @ members.T
        least = dots.min(axis=1)
        clash: npt.NDArray[np.bool_] = least < -self._tolerance - ROUNDING
        for i in (~clash & (least < ROUNDING - self._tolerance)).nonzero()[0]:
            close = dots[i] < ROUNDING - self._tolerance
            clash[i] = (exact_dots(members[close], vectors[i]).clip(-1, 1) < -self._tolerance).any()
        if seen.max() > start:
            dots[np.arange(start, stop) < seen[:, None]] = 0  # in the sum already
        self._dots[candidates] += dots.sum(axis=1, dtype=np.float64)
        self._compared[candidates] = stop
        self._conflict[candidates[clash]] = True
        return clash
