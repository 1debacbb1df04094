"""Which rows are on the page, and which of them on the map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradstore.report.gather import Gathered
from gradstore.report.rows import Index

__all__ = ["Links", "Shown", "choose", "links"]

MAP = 20_000
"""Nodes on the map."""
PAGE = 100_000
"""Rows on the page."""
INVALID = 1000
"""Rows without a gradient that are on the page."""
NEAREST, OPPOSED = 8, 4
"""Neighbours and conflicts of a row that are on the page."""


@dataclass(frozen=True)
class Shown:
    """Rows on the page, those on the map first.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Their numbers among all rows.
    nodes : ndarray of int64, shape (m,)
        Nodes of the graph on the map; row ``i`` of the page is ``nodes[i]``.
    """

    rows: Index
    nodes: Index

    def place_of(self, count: int) -> npt.NDArray[np.int32]:
        """Place on the page for each of `count` rows, -1 for those that are not there; one more for no row."""
        places = np.full(count + 1, -1, np.int32)
        places[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        return places


@dataclass(frozen=True)
class Links:
    """Rows that a row of the page is linked to and that are on the page too, for each row.

    Attributes
    ----------
    ends : ndarray of int32, shape (n, most)
        Places on the page; -1 where there is none.
    cosines : ndarray of float32, shape (n, most)
    """

    ends: npt.NDArray[np.int32]
    cosines: npt.NDArray[np.float32]


def choose(found: Gathered, seed: int) -> Shown:
    """Rows worth their place: the map's nodes, what these are linked to, and rows without a gradient.

    Of a graph that is too large for the map, targets and chosen rows go first and others are drawn. Without a graph
    there are chosen rows, targets and others likewise, and no map.
    """
    rng = np.random.default_rng(seed)
    first = _worth(found)
    if found.graph is None:
        rows = _drawn(np.arange(len(found.rows)), first, MAP, rng)
        return Shown(_with(rows, _invalid(found)), np.zeros(0, np.int64))
    chosen = _drawn(found.nodes, first, MAP, rng)
    nodes = np.flatnonzero(np.isin(found.nodes, chosen))
    rows = found.nodes[nodes]
    for lists, most in ((found.graph.neighbours, NEAREST), (found.graph.conflicts, OPPOSED)):
        for column in lists[nodes, :most].T:
            rows = _with(rows, found.nodes[column[column >= 0]])
    return Shown(_with(rows, _invalid(found)), nodes)


def links(
    found: Gathered,
    shown: Shown,
    lists: npt.NDArray[np.int32],
    cosines: npt.NDArray[np.float32],
    most: int,
) -> Links:
    """The first links of each row of the page to rows of the page; half as many for rows that are not on the map.

    Parameters
    ----------
    found : Gathered
    shown : Shown
    lists, cosines : ndarray, shape (nodes, m)
        Of all nodes of the graph.
    most : int
    """
    places = shown.place_of(len(found.rows))
    node_of = np.full(len(found.rows), -1, np.int64)
    node_of[found.nodes] = np.arange(len(found.nodes))
    nodes = node_of[shown.rows]
    ends = places[np.append(found.nodes, len(found.rows))[lists[nodes]]]
    ends[nodes < 0] = -1
    front = np.argsort(ends < 0, axis=1, kind="stable")[:, :most]
    ends, values = (np.take_along_axis(each, front, axis=1) for each in (ends, cosines[nodes]))
    ends[len(shown.nodes) :, most // 2 :] = -1
    return Links(ends, values)


def _worth(found: Gathered) -> Index:
    """Rows that are drawn before others: targets and what was chosen."""
    picked = [each.picks for each in found.selections]
    return np.unique(np.concatenate([np.flatnonzero(found.rows.is_target), *picked]))


def _drawn(rows: Index, first: Index, most: int, rng: np.random.Generator) -> Index:
    """`most` of `rows` in ascending order, three quarters of them from `first` if there are as many."""
    if len(rows) <= most:
        return np.sort(rows)
    worth = rows[np.isin(rows, first)]
    others = np.setdiff1d(rows, worth)
    some = rng.choice(worth, min(len(worth), max(most * 3 // 4, most - len(others))), replace=False)
    others = rng.choice(others, most - len(some), replace=False)
    return np.sort(np.concatenate([some, others]))


def _with(rows: Index, more: Index) -> Index:
    """`rows`, then those of `more` that are not among them, as far as the page has room."""
    return np.concatenate([rows, np.setdiff1d(more, rows)])[: max(PAGE, len(rows))]


def _invalid(found: Gathered) -> Index:
    return np.flatnonzero(~found.rows.column("valid").astype(bool))[:INVALID]
