"""A graph that is there already, and which rows it still lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradstore.errors import GradstoreError
from gradstore.graph.candidates import Index
from gradstore.graph.exact import Lists, Wanted
from gradstore.graph.graph import Graph, load_graph
from gradstore.graph.nodes import Nodes

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["Grown", "lists_so_far"]


@dataclass(frozen=True, slots=True)
class Grown:
    """The lists of a graph in the numbers of the new one.

    Attributes
    ----------
    lists : list of (neighbours, cosines)
        Over all nodes; empty where a node is new.
    new : ndarray of int64
        Nodes that the graph lacks.
    built : Mapping
        How the graph was built.
    attached : int
        Rows that had been attached before.
    """

    lists: list[Lists]
    new: Index
    built: Mapping[str, Any]
    attached: int


def lists_so_far(
    store: Store, name: str, nodes: Nodes, wanted: Sequence[Wanted], method: str
) -> Grown | None:
    """What can be taken over from the graph `name`: None unless it was built alike and has at least half of the nodes.

    A graph with rows that are no nodes now, of other checkpoints, weights or directions, with other numbers of
    neighbours, or by another method than asked for, is of no use.
    """
    if name not in store.graphs:
        return None
    try:
        graph = load_graph(store, name)
    except GradstoreError:  # a stale or damaged graph is what building anew is for
        return None
    if not _alike(graph, nodes, wanted, method):
        return None
    place = _places(graph, nodes)
    if place is None or not len(nodes) / 2 <= len(graph) < len(nodes):
        return None
    of_kind = [(graph.neighbours, graph.cosines), (graph.conflicts, graph.conflict_cosines)]
    lists = []
    for (links, cosines), each in zip(of_kind, wanted, strict=False):
        moved = np.full((len(nodes), each.m), -1, np.int32)
        values = np.zeros(moved.shape, np.float32)
        moved[place, : links.shape[1]] = np.where(links >= 0, place[links], -1)
        values[place, : links.shape[1]] = cosines
        lists.append((moved, values))
    new = np.setdiff1d(np.arange(len(nodes)), place)
    built = {key: graph.attributes[key] for key in ("method", "why", "settings")}
    return Grown(lists, new, built, int(graph.attributes.get("attached", 0)))


def _alike(graph: Graph, nodes: Nodes, wanted: Sequence[Wanted], method: str) -> bool:
    held = graph.attributes
    directions = {part.datasets[0].name: part.direction for part in nodes.parts}
    return (
        held["checkpoints"] == [dataset.checkpoint for dataset in nodes.parts[0].datasets]
        and held.get("weights") == list(nodes.weights)
        and all(directions.get(name) == direction for name, direction in held["directions"].items())
        and _as_long(graph, graph.neighbours.shape[1], wanted[0].m)
        and _as_long(graph, graph.conflicts.shape[1], wanted[1].m if wanted[1:] else 0)
        and method in ("auto", graph.method)
    )


def _as_long(graph: Graph, length: int, wanted: int) -> bool:
    """Whether lists of a length are those that are wanted now, or were, and held all other rows."""
    return length in (wanted, min(wanted, max(len(graph) - 1, 1)))


def _places(graph: Graph, nodes: Nodes) -> Index | None:
    """Node of each of the graph's rows; None if one of them is no node."""
    place = np.full(len(graph), -1, np.int64)
    for name in np.unique(graph.datasets):
        there, here = np.flatnonzero(graph.datasets == name), np.flatnonzero(nodes.datasets == name)
        _, at, ours = np.intersect1d(graph.rows[there], nodes.rows[here], return_indices=True)
        place[there[at]] = here[ours]
    return None if (place < 0).any() else place
