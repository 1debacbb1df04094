"""Approximate nearest neighbours with hnswlib; the only file that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.graph.exact import nearest_to
from gradstore.progress import Progress, silent

if TYPE_CHECKING:
    from gradstore.graph.nodes import Nodes

__all__ = ["hnsw_neighbours"]

_BATCH = 256


def hnsw_neighbours(
    nodes: Nodes,
    m: int,
    *,
    seed: int,
    M: int,
    ef_construction: int,
    ef: int,
    progress: Progress = silent,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The m nearest other nodes of every node, nearly: found by an HNSW index, ordered by exact cosines.

    Rows are inserted by one thread in order, so that the same rows and seed give the same graph. hnswlib keeps all
    vectors in memory (``4 · n · dim`` bytes).

    Parameters
    ----------
    nodes : Nodes
    m : int
        Neighbours of each node.
    seed : int
        Seed of the index's random levels.
    M, ef_construction, ef : int
        Links of a node, and candidates kept while building and while searching.
    progress : Progress, optional

    Returns
    -------
    neighbours, cosines
        As `exact_neighbours` returns them.
    """
    import hnswlib

    count = len(nodes)
    found = min(m + 1, count)
    # On unit vectors 1 - inner product is the cosine distance; the space "cosine" would normalise once more.
    index = hnswlib.Index(space="ip", dim=nodes.dim)
    index.init_index(max_elements=count, M=M, ef_construction=ef_construction, random_seed=seed)
    with progress(count, "rows", "building the index") as bar:
        for start, block in nodes.blocks():
            index.add_items(block, np.arange(start, start + len(block)), num_threads=1)
            bar.update(len(block))
    index.set_ef(max(ef, 2 * found))
    neighbours = np.full((count, m), -1, np.int32)
    cosines = np.zeros((count, m), np.float32)
    with progress(count, "rows", "searching the index") as bar:
        for start in range(0, count, _BATCH):
            rows = np.arange(start, min(start + _BATCH, count))
            links = _query(index, nodes.read(start, int(rows[-1]) + 1), found, count)
            if links is None:
                neighbours[rows], cosines[rows] = nearest_to(nodes, rows, m)
            else:
                neighbours[rows], cosines[rows] = _ranked(nodes, rows, links, m)
            bar.update(len(rows))
    return neighbours, cosines


def _query(
    index: Any, points: npt.NDArray[np.float32], found: int, count: int
) -> npt.NDArray[np.int64] | None:
    """Labels of the `found` nearest of each point; None where the index cannot reach so many."""
    for ef in (None, min(count, 16 * found)):
        if ef is not None:
            index.set_ef(max(ef, index.ef))
        try:
            labels, _ = index.knn_query(points, k=found, num_threads=1)
        except RuntimeError:  # hnswlib found fewer than asked for some point, and then returns none at all
            continue
        return np.asarray(labels, np.int64)
    return None


def _ranked(
    nodes: Nodes, rows: npt.NDArray[np.int64], links: npt.NDArray[np.int64], m: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The m best of `links` by exact cosine and index, without the row itself."""
    used, place = np.unique(np.concatenate([rows, links.ravel()]), return_inverse=True)
    vectors = nodes.take(used)
    own, other = place[: len(rows)], place[len(rows) :].reshape(links.shape)
    cosines = np.stack([vectors[other[i]] @ vectors[own[i]] for i in range(len(rows))])
    cosines[links == rows[:, None]] = -np.inf
    order = np.lexsort((links, -cosines), axis=1)[:, :m]
    best = np.take_along_axis(cosines, order, axis=1)
    neighbours = np.where(np.isinf(best), -1, np.take_along_axis(links, order, axis=1))
    width = ((0, 0), (0, m - neighbours.shape[1]))
    return (
        np.pad(neighbours.astype(np.int32), width, constant_values=-1),
        np.pad(np.clip(np.where(np.isinf(best), 0, best), -1, 1).astype(np.float32), width),
    )
