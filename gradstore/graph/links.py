"""The links of a graph: those of one row, and all of them in the forms of other libraries."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.errors import StoreNotFoundError, UsageError
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    from gradstore.graph.graph import Graph

__all__ = [
    "Edges",
    "Link",
    "chosen_sets",
    "components",
    "edges",
    "find_node",
    "in_degrees",
    "restricted",
    "to_networkx",
    "to_scipy",
]

_CONSIDERED = 2000
"""Ids that are compared with one that does not exist: those that sort next to it."""
_ROWS = 1 << 16
"""Rows whose links are counted at once."""


@dataclass(frozen=True, slots=True)
class Link:
    """A row that another one is linked to.

    Attributes
    ----------
    id, dataset : str
    node : int
        Number of the row in the graph.
    cosine : float
    """

    id: str
    dataset: str
    node: int
    cosine: float


class Edges(NamedTuple):
    """All links of a graph, one after the other.

    Attributes
    ----------
    sources, ends : ndarray of int32, shape (e,)
        Each link leads from one node to another.
    cosines : ndarray of float32, shape (e,)
    conflict : ndarray of bool, shape (e,)
        Whether it is a conflict: the end was listed because it points against the source.
    """

    sources: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    cosines: npt.NDArray[np.float32]
    conflict: npt.NDArray[np.bool_]


def edges(graph: Graph) -> Edges:
    """All links of `graph`: neighbours, then conflicts that are not listed as neighbours too.

    Of a row's conflicts those of negative cosine count: a row of few may list others, which do not point against it.
    """
    near = _flat(graph.neighbours, graph.cosines, graph.neighbours >= 0)
    against = _flat(
        graph.conflicts, graph.conflict_cosines, (graph.conflicts >= 0) & (graph.conflict_cosines < 0)
    )
    negative = near[2] < 0  # only these can be conflicts too
    new = ~np.isin(_keys(*against[:2]), _keys(near[0][negative], near[1][negative]))
    sources, ends, cosines = (
        np.concatenate([ours, theirs[new]]) for ours, theirs in zip(near, against, strict=True)
    )
    return Edges(sources, ends, cosines, np.arange(len(sources)) >= len(near[0]))


def _flat(
    links: npt.NDArray[np.int32], cosines: npt.NDArray[np.float32], kept: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    sources = np.repeat(np.arange(len(links), dtype=np.int32), kept.sum(axis=1))
    return sources, links[kept], cosines[kept]


def _keys(sources: npt.NDArray[np.int32], ends: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """One number for each link."""
    return sources.astype(np.int64) << 32 | ends


def restricted(
    links: npt.NDArray[np.int32], cosines: npt.NDArray[np.float32], chosen: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Lists of the `chosen` nodes without the others, which are numbered anew; their order stays, -1 fills up."""
    number = np.full(len(chosen) + 1, -1, np.int32)  # one more, so that -1 stays -1
    number[np.flatnonzero(chosen)] = np.arange(chosen.sum())
    ends = number[links[chosen]]
    front = np.argsort(ends < 0, axis=1, kind="stable")
    ends = np.take_along_axis(ends, front, axis=1)
    values = np.take_along_axis(cosines[chosen], front, axis=1)
    values[ends < 0] = 0
    return ends, values


def chosen_sets(known: Collection[str], datasets: str | Sequence[str]) -> list[str]:
    """`datasets` as a list of names, all of which are `known`.

    Raises
    ------
    StoreNotFoundError
        If the graph has no node of one of them.
    """
    names = [datasets] if isinstance(datasets, str) else list(datasets)
    for name in names:
        if name not in known:
            raise StoreNotFoundError(f"the graph: {unknown_name('data set', name, known)}")
    return names


def in_degrees(neighbours: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """How many rows list each row, shape (n,)."""
    degrees = np.zeros(len(neighbours), np.int64)
    for start in range(0, len(neighbours), _ROWS):
        block = neighbours[start : start + _ROWS]
        degrees += np.bincount(block[block >= 0], minlength=len(degrees))
    return degrees


def components(neighbours: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Rows in each part of the graph that no link connects to another (weakly connected components).

    Rows carry the lowest number of those that they are known to be connected to; the links of one rank after the other
    join these: the larger number takes the smaller one (Y. Shiloach and U. Vishkin, J. Algorithms 3, 1982).

    Parameters
    ----------
    neighbours : ndarray of int32, shape (n, m)
    """
    label = np.arange(len(neighbours))
    for column in neighbours.T:
        sources = np.flatnonzero(column >= 0)
        ends = column[sources]
        while True:
            one, other = label[sources], label[ends]
            apart = one != other
            if not apart.any():
                break
            sources, ends, one, other = (each[apart] for each in (sources, ends, one, other))
            np.minimum.at(label, np.maximum(one, other), np.minimum(one, other))
            while (label[label] != label).any():
                label = label[label]
    return np.bincount(label)[np.unique(label)]


def find_node(numbers: Mapping[str, Mapping[str, int]], name: str, dataset: str | None) -> int:
    """Number of the row with the id `name`, which may be an id of several data sets.

    Parameters
    ----------
    numbers : Mapping from data set to Mapping from id to number
    name : str
    dataset : str or None

    Raises
    ------
    StoreNotFoundError
        If there is no such row; names a similar one.
    UsageError
        If several data sets have one.
    """
    sets = list(numbers) if dataset is None else chosen_sets(numbers, dataset)
    found = [each for each in sets if name in numbers[each]]
    if len(found) > 1:
        raise UsageError(f"the id {name!r} occurs in several data sets; name one of them: {', '.join(found)}")
    if found:
        return numbers[found[0]][name]
    ids = sorted(each for known in sets for each in numbers[known])
    place = bisect_left(ids, name)
    near = ids[max(place - _CONSIDERED // 2, 0) : place + _CONSIDERED // 2]
    close = get_close_matches(name, near, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"ids are such as {', '.join(map(repr, near[:1]))}."
    where = f"data set {dataset!r}" if dataset is not None else "the graph"
    raise StoreNotFoundError(
        f"no row of {where} has the id {name!r}; {hint} Rows without a gradient are in no graph"
    )


def to_scipy(graph: Graph) -> Any:
    """`Graph.to_scipy`."""
    sparse = _library("scipy.sparse")
    sources, ends, cosines, _ = edges(graph)
    return sparse.csr_array((cosines, (sources, ends)), shape=(len(graph), len(graph)))


def to_networkx(graph: Graph) -> Any:
    """`Graph.to_networkx`."""
    made = _library("networkx").DiGraph()
    names = zip(graph.ids, graph.datasets, strict=True)
    made.add_nodes_from(
        (node, {"id": each, "dataset": dataset}) for node, (each, dataset) in enumerate(names)
    )
    columns = (column.tolist() for column in edges(graph))
    made.add_edges_from(
        (source, end, {"weight": cosine, "kind": "conflict" if conflict else "neighbour"})
        for source, end, cosine, conflict in zip(*columns, strict=True)
    )
    return made


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        library = name.partition(".")[0]
        raise UsageError(f"this form of a graph needs {library}: pip install 'gradstore[graph]'") from error
