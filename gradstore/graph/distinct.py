"""Rows that are exact copies of each other: compared once, listed all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gradstore.graph.exact import Lists, Wanted
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.vectors import Float, Vectors

__all__ = ["Distinct", "expanded", "originals"]

Index = npt.NDArray[np.int64]
_BLOCK = 1024


class Distinct:
    """One of each group of equal rows.

    Parameters
    ----------
    vectors : Vectors
    kept : ndarray of int64
        Rows to keep, ascending.
    """

    def __init__(self, vectors: Vectors, kept: Index) -> None:
        self.dim, self.widths = vectors.dim, vectors.widths
        self._vectors = vectors
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop` of those kept."""
        rows = self._kept[start:stop]
        if not len(rows):
            return self._vectors.read(0, 0)
        first = int(rows[0])
        return self._vectors.read(first, int(rows[-1]) + 1)[rows - first]

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Rows `nodes` of those kept."""
        return self._vectors.take(self._kept[np.asarray(nodes, np.int64)])


def originals(vectors: Vectors) -> Index:
    """The first row that equals each row, itself if none before does; shape (n,). Streams."""
    draw = np.random.default_rng(0).integers(0, 2**63, vectors.dim, dtype=np.uint64) | np.uint64(1)
    marks = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), _BLOCK):
        rows = vectors.read(start, min(start + _BLOCK, len(vectors))) + np.float32(0)  # -0 equals 0
        marks[start : start + len(rows)] = rows.view(np.uint32).astype(np.uint64) @ draw
    first = np.arange(len(vectors))
    order = np.argsort(marks, kind="stable")
    same = np.flatnonzero(marks[order][1:] == marks[order][:-1]) + 1
    for start in range(0, len(same), _BLOCK):
        places = same[start : start + _BLOCK]
        equal = (vectors.take(order[places]) == vectors.take(order[places - 1])).all(axis=1)
        for place in places[equal]:  # ascending: the row before has its original already
            first[order[place]] = first[order[place - 1]]
    return first


def expanded(vectors: Vectors, lists: Lists, first: Index, wanted: Wanted) -> Lists:
    """Lists over all rows from those over distinct rows, as if all had been compared.

    Parameters
    ----------
    vectors : Vectors
        All rows.
    lists : (neighbours, cosines)
        Over the distinct rows, in their order.
    first : ndarray of int64, shape (n,)
        As `originals` returns it.
    wanted : Wanted
        What the lists are of.
    """
    kept, place = np.unique(first, return_inverse=True)
    if len(kept) == len(first):
        return lists
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(kept) + 1))
    members = [order[start:stop] for start, stop in pairwise(bounds)]
    own = pair_cosines(vectors, kept, kept)
    indices = np.full((len(first), wanted.m), -1, np.int32)
    values = np.zeros(indices.shape, np.float32)
    for node, found, cosines in _with_copies(members, lists, own):
        rank = np.lexsort((found, -wanted.sign * cosines))
        rank = rank[found[rank] != node][: wanted.m]
        indices[node, : len(rank)], values[node, : len(rank)] = found[rank], cosines[rank]
    return indices, values


def _with_copies(members: list[Index], lists: Lists, own: Float) -> Iterator[tuple[int, Index, Float]]:
    """Yield (row, its own copies and all copies of its neighbours, their cosines) for every row."""
    for group, of_group in enumerate(members):
        near = lists[0][group][lists[0][group] >= 0]
        groups = [of_group, *(members[i] for i in near)]
        cosines = np.concatenate([own[group : group + 1], lists[1][group][: len(near)]])
        found = np.concatenate(groups)
        each = np.repeat(cosines, [len(rows) for rows in groups])
        for node in of_group:
            yield int(node), found, each
