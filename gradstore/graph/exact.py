"""Exact nearest neighbours by blocked multiplication, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gradstore.progress import Progress, silent

__all__ = ["TILE", "TopM", "Vectors", "exact_neighbours", "nearest_to", "tile"]

TILE = 1024
"""Rows multiplied at once. All tiles have this many rows, the last one padded with zeros, so that BLAS treats
every row alike: equal rows get equal cosines wherever they are."""

Float = npt.NDArray[np.float32]


class Vectors(Protocol):
    """What has unit vectors to read, such as `Nodes`."""

    dim: int

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Float:
        """Unit vectors `start` to `stop`, shape (stop - start, dim)."""

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Unit vectors `nodes`, shape (n, dim)."""


class TopM:
    """The m largest values of each of some rows, while their values come in tile by tile.

    Of equal values those offered first are kept, and within one offer those of lower index.

    Parameters
    ----------
    rows, m : int
    """

    def __init__(self, rows: int, m: int) -> None:
        self.values = np.full((rows, m), -np.inf, np.float32)
        self.indices = np.full((rows, m), -1, np.int32)

    def offer(self, values: Float, first: int) -> None:
        """Consider `values`, shape (rows, n), of the indices `first`, `first` + 1, …; -inf is never kept."""
        row, column = np.nonzero(values > self.values[:, -1:])
        if not len(row):
            return
        counts = np.bincount(row, minlength=len(values))
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        m = self.values.shape[1]
        pool = np.full((len(values), m + int(counts.max())), -np.inf, np.float32)
        ids = np.full(pool.shape, -1, np.int32)
        pool[:, :m], ids[:, :m] = self.values, self.indices
        pool[row, m + place], ids[row, m + place] = values[row, column], first + column
        best = np.argsort(-pool, axis=1, kind="stable")[:, :m]
        self.values = np.take_along_axis(pool, best, axis=1)
        self.indices = np.take_along_axis(ids, best, axis=1)


def exact_neighbours(
    vectors: Vectors, m: int, progress: Progress = silent
) -> tuple[npt.NDArray[np.int32], Float]:
    """The m nearest other rows of every row.

    Each pair of tiles is multiplied once (the matrix of cosines is symmetric). Memory: two tiles of float32 vectors
    and their product (``4 · TILE · (2 dim + TILE)`` bytes and temporaries of a tile's size), and 8 bytes for every
    neighbour.

    Parameters
    ----------
    vectors : Vectors
        Unit rows.
    m : int
        Neighbours of each row.
    progress : Progress, optional
        Counts finished pairs of tiles.

    Returns
    -------
    neighbours : ndarray of int32, shape (n, m)
        By descending cosine, equal cosines by index; -1 where there are fewer than m other rows.
    cosines : ndarray of float32, shape (n, m)
        0 where there is no neighbour.
    """
    count = len(vectors)
    starts = range(0, count, TILE)
    tops = [TopM(min(TILE, count - start), m) for start in starts]
    pairs = len(tops) * (len(tops) + 1) // 2
    with progress(pairs, "tiles", "exact neighbours") as bar:
        for i, left in _tiles(vectors):
            for j, right in _tiles(vectors, i):
                rows, columns = len(tops[i].values), len(tops[j].values)
                product = (left @ right.T)[:rows, :columns]
                if i == j:
                    np.fill_diagonal(product, -np.inf)
                tops[i].offer(product, j * TILE)
                if i != j:
                    tops[j].offer(product.T, i * TILE)
                bar.update(1)
    return _finished(np.concatenate([t.indices for t in tops]), np.concatenate([t.values for t in tops]))


def nearest_to(
    vectors: Vectors, queries: npt.NDArray[np.int64], m: int
) -> tuple[npt.NDArray[np.int32], Float]:
    """The m nearest other rows of the rows `queries`, as `exact_neighbours` gives them."""
    points = tile(vectors.take(queries), -(-len(queries) // TILE) * TILE)
    top = TopM(len(queries), m)
    for j, right in _tiles(vectors):
        product = (points @ right.T)[: len(queries), : len(vectors) - j * TILE]
        here = np.flatnonzero((queries >= j * TILE) & (queries < (j + 1) * TILE))
        product[here, queries[here] - j * TILE] = -np.inf
        top.offer(product, j * TILE)
    return _finished(top.indices, top.values)


def tile(rows: Float, size: int = TILE) -> Float:
    """`rows` filled up with zero rows to `size` rows."""
    if len(rows) == size:
        return rows
    padded = np.zeros((size, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return padded


def _tiles(vectors: Vectors, first: int = 0) -> Iterator[tuple[int, Float]]:
    for number, start in enumerate(range(first * TILE, len(vectors), TILE), first):
        yield number, tile(vectors.read(start, min(start + TILE, len(vectors))))


def _finished(indices: npt.NDArray[np.int32], values: Float) -> tuple[npt.NDArray[np.int32], Float]:
    values[indices < 0] = 0
    # Rounding puts the cosine of equal rows a hair above 1.
    return indices, np.clip(values, -1, 1)
