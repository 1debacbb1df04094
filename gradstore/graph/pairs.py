"""Cosines of single pairs, computed in one fixed way whatever found the pairs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gradstore.graph.dots import row_dots
from gradstore.graph.vectors import Float, Vectors

__all__ = ["pair_cosines"]

_HELD = 1 << 24
"""Numbers of gathered rows at once: 64 MiB of float32."""


def pair_cosines(vectors: Vectors, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> Float:
    """Cosine of row ``left[p]`` with row ``right[p]`` for every pair p, within [-1, 1].

    A cosine depends on its two rows and on nothing else: not on the other pairs, their order, threads or BLAS, which
    rounds by the shape of a product. So neighbours are the same by whatever engine they were found.

    Parameters
    ----------
    vectors : Vectors
    left, right : ndarray of int64, shape (p,)
        Fastest if pairs with the same left row stand together.

    Returns
    -------
    ndarray of float32, shape (p,)
    """
    found = np.empty(len(left), np.float32)
    starts = np.flatnonzero(np.diff(left, prepend=-1))  # where another left row begins
    bounds = np.append(starts, len(left))
    most = max(1, _HELD // vectors.dim)
    group = 0
    while group < len(starts):
        first = int(bounds[group])
        last = int(np.searchsorted(bounds, first + most, side="right")) - 1
        last = max(last, group + 1)
        _compare(vectors, left, right, bounds[group : last + 1], found)
        group = last
    return np.clip(found, -1, 1, out=found)


def _compare(
    vectors: Vectors,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.int64],
    found: Float,
) -> None:
    """Fill in the cosines of the groups of pairs between `bounds`, each with one left row."""
    first, last = int(bounds[0]), int(bounds[-1])
    used, place = np.unique(right[first:last], return_inverse=True)
    others, own = vectors.take(used), vectors.take(left[bounds[:-1]])
    for i, (start, stop) in enumerate(pairwise(bounds)):
        found[start:stop] = row_dots(others[place[start - first : stop - first]], own[i])
