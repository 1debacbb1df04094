"""The best few of each of some rows, kept while products come in block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from gradstore.graph.vectors import Float

__all__ = ["Candidates", "Index", "ranks"]

Index = npt.NDArray[np.int64]
Compare = Callable[[Index, Index], Float]
_LOWEST = np.finfo(np.float32).min


class Candidates:
    """What may be among the m best of each of some rows.

    Products come with an error bound. Whatever could still be among the m best is kept, so that comparing what is left
    exactly gives the true m best.

    Parameters
    ----------
    rows, m : int
    compare : callable
        Exact values of pairs (row, index), in the same way each time.

    Attributes
    ----------
    floor : ndarray of float32, shape (rows,)
        A product below it cannot be among the best.
    """

    def __init__(self, rows: int, m: int, compare: Compare) -> None:
        self.floor = np.full(rows, _LOWEST, np.float32)
        self._m = m
        self._compare = compare
        self._rows: list[npt.NDArray[np.int32]] = []
        self._indices: list[npt.NDArray[np.int32]] = []
        self._values: list[Float] = []
        self._error = 0.0
        self._held = self._kept = 0

    def offer(self, values: Float, indices: Index, error: float) -> None:
        """Consider `values` of shape (rows, n) for the n `indices`, each within `error` of the exact one.

        -inf is never kept.
        """
        self._error = max(self._error, error)
        width, m = values.shape[1], self._m
        if m <= width and (self.floor == _LOWEST).all():
            best = np.partition(values, width - m, axis=1)[:, width - m]
            self.floor = _lower(best, 2 * error)
        place = np.flatnonzero(values >= self.floor[:, None])
        row, column = np.divmod(place, width)
        self.add(row, indices[column], values[row, column])

    def add(self, row: Index, index: Index, value: Float) -> None:
        """Consider single pairs."""
        self._rows.append(row.astype(np.int32))
        self._indices.append(index.astype(np.int32))
        self._values.append(value)
        self._held += len(row)
        if self._held > self._kept + len(self.floor) * max(self._m, 16):
            self._shrink()

    def best(self) -> tuple[npt.NDArray[np.int32], Float]:
        """The m best of each row by exact value, equal ones by index; -1 and 0 where there are fewer."""
        self._shrink()
        self._exactly()
        row, index, value = self._joined()
        m, rows = self._m, len(self.floor)
        indices, values = np.full((rows, m), -1, np.int32), np.zeros((rows, m), np.float32)
        rank = ranks(row, rows)
        indices[row, rank], values[row, rank] = index, value
        return indices, values

    def _joined(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Float]:
        return np.concatenate(self._rows), np.concatenate(self._indices), np.concatenate(self._values)

    def _shrink(self) -> None:
        """Drop what can no longer be among the best; where too much is left, ask for the exact values."""
        self._sort(2 * self._error)
        if self._held > len(self.floor) * (2 * self._m + 16):
            self._exactly()

    def _exactly(self) -> None:
        """Replace values by exact ones, and keep m of each row."""
        row, index, _ = self._joined()
        self._values = [self._compare(row.astype(np.int64), index.astype(np.int64))]
        self._rows, self._indices = [row], [index]
        self._sort(None)

    def _sort(self, slack: float | None) -> None:
        """Order pairs by row, value and index; keep the m best of a row, and with `slack` all that come so close."""
        if not self._rows:
            self._rows, self._indices = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
            self._values = [np.zeros(0, np.float32)]
        row, index, value = self._joined()
        order = _by_row_and_value(row, value) if slack is not None else np.lexsort((index, -value, row))
        row, index, value = row[order], index[order], value[order]
        rank = ranks(row, len(self.floor))
        last = rank == self._m - 1
        worst = np.full(len(self.floor), _LOWEST, np.float32)
        worst[row[last]] = value[last]
        self.floor = np.maximum(self.floor, _lower(worst, 2 * self._error))
        keep = rank < self._m if slack is None else (rank < self._m) | (value >= self.floor[row])
        self._rows, self._indices, self._values = [row[keep]], [index[keep]], [value[keep]]
        self._held = self._kept = int(keep.sum())


def _by_row_and_value(rows: npt.NDArray[np.int32], values: Float) -> Index:
    """Order by row, and in it by descending value: one sort of whole numbers, equal values in any order."""
    bits = values.view(np.int32)
    falling = np.where(bits < 0, bits, bits ^ np.int32(0x7FFFFFFF)).view(np.uint32)  # as the values fall
    return np.argsort((rows.astype(np.uint64) << np.uint64(32)) | falling.astype(np.uint64))


def _lower(values: Float, by: float) -> Float:
    """`values` less `by`, rounded down."""
    lower: Float = np.nextafter(np.maximum(values - np.float32(by), _LOWEST), _LOWEST)
    return lower


def ranks(rows: npt.NDArray[np.integer], count: int) -> Index:
    """Place of each entry among those of its row; `rows` is sorted."""
    counts = np.bincount(rows, minlength=count)
    return np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
