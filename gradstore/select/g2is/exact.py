"""The engine that needs no graph: one product of a pick with all rows tells everything about them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gradstore.graph.products import Cuda, Engine, Float32, Loaded, engines
from gradstore.graph.vectors import Float, Vectors
from gradstore.select.g2is.order import Rows
from gradstore.select.g2is.trail import ROUNDING, Trail, exact_dots

__all__ = ["ExactTrail", "Products"]

_BLOCK = 1 << 24  # numbers multiplied at once: 64 MiB of float32
_ALL_FIRST = 64


class Products:
    """Inner products of all rows with one: on a graphics processor if there is one, else by NumPy.

    Parameters
    ----------
    rows : Vectors
    memory : int
        Bytes of rows that are kept ready; others are read anew for each product.
    engine : Engine, optional
        What multiplies.
    """

    def __init__(self, rows: Vectors, memory: int, engine: Engine | None = None) -> None:
        self._rows = rows
        self._engine = engine or next((e for e in engines(rows.widths) if isinstance(e, Cuda)), Float32())
        size = max(1, _BLOCK // rows.dim)
        self._spans = [(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
        fit = memory // (size * rows.dim * self._engine.width)
        self._held = [self._load(*span) for span in self._spans[:fit]]

    def __call__(self, row: Float) -> Float:
        """Products with `row` of shape (dim,), shape (N,), each within `ROUNDING`."""
        found = np.empty(len(self._rows), np.float32)
        right = self._engine.load(row[None])
        for i, (start, stop) in enumerate(self._spans):
            left = self._held[i] if i < len(self._held) else self._load(start, stop)
            found[start:stop] = self._engine.multiply(left, right)[:, 0]
        return found

    def _load(self, start: int, stop: int) -> Loaded:
        return self._engine.load(self._rows.read(start, stop))


class ExactTrail(Trail):
    """A trail that compares every new member with all rows.

    Parameters
    ----------
    rows : Vectors
    products : Products
        Of the same rows.
    m : int or None
        Neighbours of a member; None: all rows.
    core, used, delta, tolerance
        See `Trail`.
    """

    def __init__(
        self,
        rows: Vectors,
        products: Products,
        m: int | None,
        core: npt.NDArray[np.floating],
        used: npt.NDArray[np.bool_],
        *,
        delta: float,
        tolerance: float,
    ) -> None:
        super().__init__(rows, core, used, delta=delta, tolerance=tolerance)
        self._products, self._m = products, m

    def nearest(self) -> Iterator[Rows]:  # noqa: D102
        others = len(self._rows) - 1
        if self._m is not None:
            yield self._best(min(self._m, others))
            return
        done = 0
        while done < others:
            count = min(max(_ALL_FIRST, 8 * done), others)
            yield self._best(count)[done:]
            done = count

    def _best(self, count: int) -> Rows:
        """The `count` nearest rows; equal cosines by index."""
        if count < 1:
            return np.zeros(0, np.int64)
        worst = np.partition(self._to_last, len(self._to_last) - count)[len(self._to_last) - count]
        close = np.flatnonzero(self._to_last >= worst - 2 * ROUNDING)
        return close[np.lexsort((close, -self.cosines(close)))][:count]

    def _joined(self, vector: Float) -> None:
        self._to_last = self._products(vector)
        self._dots += self._to_last
        least = -self._tolerance - ROUNDING
        doubtful = np.flatnonzero(
            (self._to_last >= least)
            & (self._to_last < ROUNDING - self._tolerance)
            & ~self._conflict
            & ~self.dead
        )
        self._conflict |= self._to_last < least
        if len(doubtful):
            cosines = exact_dots(self._rows.take(doubtful), vector).clip(-1, 1)
            self._conflict[doubtful[cosines < -self._tolerance]] = True
        self._to_last[self.last] = -np.inf

    def _compare(self, candidates: Rows) -> None:
        """Nothing: all rows are up to date."""
