"""How good an approximate graph is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradstore.graph.exact import Vectors, nearest_to

__all__ = ["measured_recall"]

_TIE = 1e-6


def measured_recall(
    vectors: Vectors,
    neighbours: npt.NDArray[np.int32],
    cosines: npt.NDArray[np.float32],
    *,
    seed: int,
    sample: int = 1000,
) -> float:
    """Share of the true nearest neighbours that a graph lists, over random rows.

    A listed neighbour counts if its cosine reaches that of the true m-th neighbour (less 1e-6, the rounding of
    float32): of equally near rows any will do.

    Parameters
    ----------
    vectors : Vectors
        Unit rows of all nodes.
    neighbours : ndarray of int32, shape (n, m)
        Listed neighbours, -1 behind the last one.
    cosines : ndarray of float32, shape (n, m)
        Their cosines.
    seed : int
        Draws the rows.
    sample : int, default 1000
        Rows to check, at most n.
    """
    count, m = cosines.shape
    expected = min(m, count - 1)
    if expected < 1:
        return 1.0
    rows = np.sort(np.random.default_rng(seed).choice(count, min(sample, count), replace=False))
    _, true = nearest_to(vectors, rows, expected)
    found = (neighbours[rows] >= 0) & (cosines[rows] >= true[:, -1:] - _TIE)
    return float(found.sum() / (len(rows) * expected))
