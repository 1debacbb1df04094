"""The mixed instruction graph as an artefact of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, StoreNotFoundError, UsageError
from gradstore.graph import links
from gradstore.graph.links import Link
from gradstore.graph.origin import check_graph, check_origin, rebuild_command, stale
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["EXACT", "Graph", "load_graph"]

EXACT = "exact"
"""The name that stands for no graph: neighbours are computed where they are needed."""


@dataclass(frozen=True)
class Graph:
    """Nearest neighbours of train and target rows among each other.

    Attributes
    ----------
    ids, datasets : ndarray of str, shape (n,)
        Row id and data set of each node.
    rows : ndarray of int64, shape (n,)
        Row of each node in its data set.
    neighbours : ndarray of int32, shape (n, m)
        Nodes by descending cosine; -1 where there is none.
    cosines : ndarray of float32, shape (n, m)
        0 where there is no neighbour.
    conflicts : ndarray of int32, shape (n, c)
        Nodes by ascending cosine, -1 where there is none; c is 0 if it was built without.
    conflict_cosines : ndarray of float32, shape (n, c)
    attributes : Mapping
        How it was built: method and why, parameters, recall and quality, checkpoints, directions, digests of the
        data sets.
    """

    ids: npt.NDArray[np.object_]
    datasets: npt.NDArray[np.object_]
    rows: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int32]
    cosines: npt.NDArray[np.float32]
    conflicts: npt.NDArray[np.int32]
    conflict_cosines: npt.NDArray[np.float32]
    attributes: Mapping[str, Any]

    def node_of(self, name: str, dataset: str | None = None) -> int:
        """Number of the row with the id `name`; `dataset` is needed where several data sets have one.

        Parameters
        ----------
        name : str
            A row's id.
        dataset : str, optional
            Needed where several data sets have a row of this id.

        Returns
        -------
        int

        Raises
        ------
        StoreNotFoundError
            If there is no such row or data set; names a similar one.
        UsageError
            If the id occurs in several data sets.
        """
        return links.find_node(self._numbers, name, dataset)

    def neighbours_of(
        self, name: str, dataset: str | None = None, among: str | Sequence[str] | None = None
    ) -> list[Link]:
        """The nearest rows of the one with the id `name`, nearest first.

        Parameters
        ----------
        name : str
            Its id.
        dataset : str, optional
            Its data set; needed where several have a row of that id.
        among : str or sequence of str, optional
            Only links to rows of these data sets.

        Returns
        -------
        list of Link

        Raises
        ------
        StoreNotFoundError, UsageError
            As `node_of` does, and if there is no data set of `among`.
        """
        node = self.node_of(name, dataset)
        return self._links(self.neighbours[node], self.cosines[node], self.neighbours[node] >= 0, among)

    def conflicts_of(
        self, name: str, dataset: str | None = None, among: str | Sequence[str] | None = None
    ) -> list[Link]:
        """The rows that point against the one with the id `name` (negative cosine), the most opposed first.

        Parameters and errors are those of `neighbours_of`.

        Parameters
        ----------
        name, dataset, among
            As for `neighbours_of`.

        Returns
        -------
        list of Link

        Raises
        ------
        UsageError
            If the graph was built without conflicts.
        """
        node = self.node_of(name, dataset)
        if not self.conflicts.shape[1]:
            raise UsageError(
                "the graph was built without conflicts; build it with `gradstore graph --conflicts N`"
            )
        listed = (self.conflicts[node] >= 0) & (self.conflict_cosines[node] < 0)
        return self._links(self.conflicts[node], self.conflict_cosines[node], listed, among)

    def among(self, datasets: str | Sequence[str]) -> Graph:
        """The nodes of some data sets, with those of their links that end at such a node.

        Lists keep their order and are not filled up with others: build a graph of these data sets for that.

        Parameters
        ----------
        datasets : str or sequence of str
            Their names.

        Returns
        -------
        Graph

        Raises
        ------
        StoreNotFoundError
            If the graph has no node of one of them.
        """
        chosen = np.isin(self.datasets, links.chosen_sets(self._numbers, datasets))
        neighbours, cosines = links.restricted(self.neighbours, self.cosines, chosen)
        conflicts, conflict_cosines = links.restricted(self.conflicts, self.conflict_cosines, chosen)
        return replace(
            self,
            ids=self.ids[chosen],
            datasets=self.datasets[chosen],
            rows=self.rows[chosen],
            neighbours=neighbours,
            cosines=cosines,
            conflicts=conflicts,
            conflict_cosines=conflict_cosines,
        )

    def to_scipy(self, datasets: str | Sequence[str] | None = None) -> Any:
        """Cosines of all links as a `scipy.sparse.csr_array`, shape (n, n); conflicts are its negative entries.

        Entry (i, j) is there if node i lists node j, which need not list i: ``a.maximum(a.T)`` is symmetric where
        all entries are positive. A negative entry may be a neighbour too, of a row that has no nearer ones.

        Parameters
        ----------
        datasets : str or sequence of str, optional
            Rows and columns are the nodes of `among` them; default: all.

        Returns
        -------
        scipy.sparse.csr_array, shape (n, n)

        Raises
        ------
        UsageError
            If SciPy is not installed.
        """
        return links.to_scipy(self if datasets is None else self.among(datasets))

    def to_networkx(self, datasets: str | Sequence[str] | None = None) -> Any:
        """All links as a `networkx.DiGraph`, about a kilobyte of memory each.

        Nodes are numbers with the attributes ``id`` and ``dataset``, edges have ``weight`` (the cosine) and ``kind``
        (``"neighbour"`` or ``"conflict"``).

        Parameters
        ----------
        datasets : str or sequence of str, optional
            Only the nodes of these data sets, numbered as in `among` them; default: all.

        Returns
        -------
        networkx.DiGraph

        Raises
        ------
        UsageError
            If NetworkX is not installed.
        """
        return links.to_networkx(self if datasets is None else self.among(datasets))

    @property
    def recall(self) -> float:
        """Measured share of true neighbours that are listed; 1 for an exact graph."""
        return float(self.attributes["recall"])

    @property
    def method(self) -> str:
        """``"exact"`` or ``"hnsw"``."""
        return str(self.attributes["method"])

    def _links(
        self,
        nodes: npt.NDArray[np.int32],
        cosines: npt.NDArray[np.float32],
        listed: npt.NDArray[np.bool_],
        among: str | Sequence[str] | None,
    ) -> list[Link]:
        names = self._numbers if among is None else links.chosen_sets(self._numbers, among)
        pairs = zip(nodes[listed].tolist(), cosines[listed].tolist(), strict=True)
        found = [Link(self.ids[node], self.datasets[node], node, cosine) for node, cosine in pairs]
        return [link for link in found if link.dataset in names]

    @cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """Node of each id, by data set."""
        found: dict[str, dict[str, int]] = {}
        for node, (name, dataset) in enumerate(zip(self.ids, self.datasets, strict=True)):
            found.setdefault(dataset, {})[name] = node
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        n, m = self.neighbours.shape
        return f"Graph of {n} rows with {m} neighbours each ({self.method}, recall {self.recall:.3f})"


def load_graph(store: Store | str | Path, name: str = "default") -> Graph:
    """Read a graph, after checking that its data sets are those it was built from.

    Parameters
    ----------
    store : Store or path
        Where it lies.
    name : str, default "default"
        The graph's name.

    Returns
    -------
    Graph

    Raises
    ------
    StoreNotFoundError
        If there is no such graph.
    IncompatibleError
        If a data set has changed or gone since it was built.

    Examples
    --------
    >>> from gradstore.graph import build_graph
    >>> from gradstore.testing import tiny_store
    >>> store = tiny_store("tiny.zarr")
    >>> _ = build_graph(store, neighbours=4)
    >>> load_graph(store).neighbours.shape
    (66, 4)
    """
    from gradstore.store import open_store, read_artefact

    opened = open_store(store) if isinstance(store, str | Path) else store
    if name not in opened.graphs:
        if opened.graphs:
            raise StoreNotFoundError(unknown_name("graph", name, opened.graphs))
        raise StoreNotFoundError(f"{opened.location} has no graph; run `gradstore graph {opened.location}`")
    artefact = read_artefact(opened, "graphs", name)
    check_origin(artefact)
    check_graph(artefact)
    _check_fresh(opened, name, artefact.attributes)
    arrays, none = artefact.arrays, (len(artefact.strings["ids"]), 0)
    return Graph(
        np.array(artefact.strings["ids"], object),
        np.array(artefact.strings["datasets"], object),
        np.asarray(arrays["rows"]),
        np.asarray(arrays["neighbours"]),
        np.asarray(arrays["cosines"]),
        np.asarray(arrays["conflicts"]) if "conflicts" in arrays else np.zeros(none, np.int32),
        np.asarray(arrays["conflict_cosines"]) if "conflicts" in arrays else np.zeros(none, np.float32),
        artefact.attributes,
    )


def _check_fresh(store: Store, name: str, attributes: Mapping[str, Any]) -> None:
    found = stale(store, attributes)
    if found:
        raise IncompatibleError(
            f"graph {name!r} was built from other rows than the store holds now ({', '.join(found)}); "
            f"rebuild it: {rebuild_command(store, name, attributes)}"
        )
