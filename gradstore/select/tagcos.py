"""TAGCOS: clusters of gradients, each represented by few of its rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import Selection
from gradstore.select.context import SelectionContext
from gradstore.select.kmeans import kmeans
from gradstore.select.pursuit import pursue
from gradstore.select.shares import proportional_shares

__all__ = ["TAGCOS"]

Float = npt.NDArray[np.float32]
_TILE = 1024


class TAGCOS:
    """A coreset of the whole pool: clusters of gradients, each matched by few rows (TAGCOS, 2024); needs no target.

    A row's feature is the mean of its unit gradients over checkpoints, by learning rate, and normalised. k-means
    divides the features; of each cluster orthogonal matching pursuit towards its mean takes a share of the budget in
    proportion to its size. Time N·dim·clusters for each of at most 50 rounds, then N·dim·(picks of a cluster); the
    features are held where they fit the memory, else read anew for each round.

    Parameters
    ----------
    clusters : int, default 100
        Number of clusters, at most that of the candidates.

    References
    ----------
    Zhang et al., "TAGCOS: Task-agnostic Gradient Clustered Coreset Selection for Instruction Tuning Data",
    arXiv 2407.15235.
    """

    name = "tagcos"

    def __init__(self, *, clusters: int = 100) -> None:
        self.clusters = clusters

    def select(self, context: SelectionContext, budget: int) -> Selection:
        """Each cluster's share of the budget, cluster by cluster, in the order of the pursuit."""
        if self.clusters < 1:
            raise UsageError(f"clusters is {self.clusters}; choose at least 1")
        features = _Features(context)
        count = len(context)
        members = kmeans(features.tiles, count, min(self.clusters, count), context.rng)
        sizes = np.bincount(members)
        picks: list[int] = []
        clusters: list[str] = []
        weights: list[float] = []
        for cluster, share in enumerate(proportional_shares(sizes, budget)):
            if share:
                own = np.flatnonzero(members == cluster)
                chosen, found = _represent(features, own, int(share))
                picks += [int(features.order[row]) for row in chosen]
                clusters += [str(cluster)] * len(chosen)
                weights += found
        report = {"clusters": len(sizes), "largest_cluster": int(sizes.max())}
        return Selection(np.array(picks, np.int64), None, report, {"cluster": clusters, "weight": weights})


class _Features:
    """Features of the candidates in order of their ids."""

    def __init__(self, context: SelectionContext) -> None:
        if len(set(context.widths)) > 1:
            raise UsageError(f"tagcos needs rows of one length at all checkpoints, not {context.widths}")
        self.order = context.by_id()
        self._context = context
        self._count = len(context.widths)
        self._held: Float | None = None
        if 4 * len(context) * context.widths[0] <= context.memory // 2:
            self._held = np.concatenate(list(self.tiles()))

    def tiles(self) -> Iterator[Float]:
        """All features, some at a time."""
        for start in range(0, len(self.order), _TILE):
            yield self.take(np.arange(start, min(start + _TILE, len(self.order))))

    def take(self, places: npt.NDArray[np.int64]) -> Float:
        """Some features."""
        if self._held is not None:
            return np.asarray(self._held[places])
        rows = self._context.take(self.order[places])
        # A part has the length of the root of its weight: times that length it has the weight of a mean.
        parts = rows.reshape(len(rows), self._count, -1)
        lengths = np.linalg.norm(parts, axis=2, keepdims=True)
        mean = (parts * lengths).sum(axis=1)
        norms = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(mean / np.where(norms > 0, norms, 1), np.float32)


def _represent(features: _Features, own: npt.NDArray[np.int64], share: int) -> tuple[list[int], list[float]]:
    """Rows of a cluster that stand for it, and their weights; those that pursuit leaves over by cosine, weight 0."""

    tiles = [own[first : first + _TILE] for first in range(0, len(own), _TILE)]

    def products(vectors: Float) -> npt.NDArray[np.float64]:
        return np.concatenate([features.take(tile) @ vectors for tile in tiles]).astype(np.float64)

    mean = sum(features.take(tile).sum(axis=0, dtype=np.float64) for tile in tiles) / len(own)
    towards = products(np.asarray(mean, np.float32))
    chosen, weights = pursue(lambda row: products(features.take(own[[row]])[0]), towards, share)
    free = np.setdiff1d(np.arange(len(own)), chosen)
    rest = free[np.argsort(-towards[free], kind="stable")][: share - len(chosen)]
    return [int(own[row]) for row in (*chosen, *rest)], [*map(float, weights), *[0.0] * len(rest)]
