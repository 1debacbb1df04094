"""A place in the plane for each node of a graph, near to its neighbours."""

from __future__ import annotations

import random

import igraph
import numpy as np
import numpy.typing as npt

__all__ = ["layout"]

_LINKS = 8
_EPOCHS = 100
"""Measured on 20 160 nodes, see docs/report.md."""


def layout(
    neighbours: npt.NDArray[np.int32], cosines: npt.NDArray[np.float32], seed: int
) -> npt.NDArray[np.float32]:
    """Positions from 0 to 1 by UMAP (McInnes, Healy and Melville, arXiv 1802.03426) of the given neighbours.

    Parameters
    ----------
    neighbours : ndarray of int32, shape (n, m)
        -1 where there is none.
    cosines : ndarray of float32, shape (n, m)
    seed : int

    Returns
    -------
    ndarray of float32, shape (n, 2)
    """
    ends, values = neighbours[:, :_LINKS], cosines[:, :_LINKS]
    pairs, distances = _links(ends, values)
    before = random.getstate()
    random.seed(seed)  # igraph draws from it
    try:
        found = igraph.Graph(n=len(ends), edges=pairs.tolist()).layout_umap(
            dist=distances.tolist(), epochs=_EPOCHS
        )
    finally:
        random.setstate(before)
    return _even(np.array(found.coords, np.float64))


def _links(
    ends: npt.NDArray[np.int32], cosines: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Each linked pair once, with its distance."""
    sources = np.repeat(np.arange(len(ends), dtype=np.int64), ends.shape[1])
    there = (ends.ravel() >= 0) & (
        ends.ravel() != sources
    )  # what is stored may list a node as its own neighbour
    one, other = sources[there], ends.ravel()[there].astype(np.int64)
    low, high = np.minimum(one, other), np.maximum(one, other)
    _, first = np.unique(low * len(ends) + high, return_index=True)
    distances = 1 - np.clip(cosines.ravel()[there][first].astype(np.float64), 0, 1)
    return np.stack([low[first], high[first]], axis=1), distances


def _even(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Into the unit square, each axis by itself; the few that lie far outside are drawn to its edge."""
    if not len(places):
        return np.zeros((0, 2), np.float32)
    low, high = np.percentile(places, [0.5, 99.5], axis=0)
    found: npt.NDArray[np.float32] = ((places - low) / np.maximum(high - low, 1e-9)).clip(-0.02, 1.02)
    return ((found + 0.02) / 1.04).astype(np.float32)
