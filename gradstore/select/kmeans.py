"""k-means over unit rows, whatever their number and order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["kmeans"]

Float = npt.NDArray[np.float32]
_ROUNDS = 50


def kmeans(
    tiles: Callable[[], Iterator[Float]], count: int, clusters: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Cluster of each row (Lloyd's algorithm from k-means++ seeds, at most 50 rounds).

    Parameters
    ----------
    tiles : callable
        Yields all rows in tiles, the same ones in each call.
    count : int
        Number of rows.
    clusters : int
        At most `count`. Fewer come back where rows are equal.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (count,)
        Clusters are numbered in the order of their first rows.
    """
    centres = _seeds(tiles, count, clusters, rng)
    found = np.full(count, -1)
    for _ in range(_ROUNDS):
        sums = np.zeros(centres.shape)
        before, start = found.copy(), 0
        half = (centres.astype(np.float64) ** 2).sum(axis=1) / 2
        for rows in tiles():
            nearest = (rows @ centres.T - half).argmax(axis=1)
            found[start : start + len(rows)] = nearest
            for cluster in np.unique(nearest):
                sums[cluster] += rows[nearest == cluster].sum(axis=0, dtype=np.float64)
            start += len(rows)
        if np.array_equal(before, found):
            break
        sizes = np.bincount(found, minlength=len(centres))
        held = sizes > 0  # an empty cluster stays where it is
        centres[held] = (sums[held] / sizes[held, None]).astype(np.float32)
    _, first, numbers = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[numbers]


def _seeds(
    tiles: Callable[[], Iterator[Float]], count: int, clusters: int, rng: np.random.Generator
) -> Float:
    """Rows far from each other: each is drawn in proportion to its squared distance from those before it."""
    farness = np.ones(count)
    seeds: list[Float] = []
    for _ in range(clusters):
        total = farness.sum()
        if total <= 0:
            break
        drawn = min(int(np.searchsorted(np.cumsum(farness), rng.random() * total, side="right")), count - 1)
        seed = _row(tiles, drawn)
        start = 0
        for rows in tiles():
            distance = ((rows - seed) ** 2).sum(axis=1, dtype=np.float64)
            distance[distance < 1e-9] = 0
            part = slice(start, start + len(rows))
            farness[part] = distance if not seeds else np.minimum(farness[part], distance)
            start += len(rows)
        farness[drawn] = 0
        seeds.append(seed)
    return np.stack(seeds)


def _row(tiles: Callable[[], Iterator[Float]], place: int) -> Float:
    start = 0
    for rows in tiles():
        if place < start + len(rows):
            return np.array(rows[place - start])
        start += len(rows)
    raise IndexError(place)
