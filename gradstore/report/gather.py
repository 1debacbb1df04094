"""What a store has to show: its rows, one graph and some selections, and notes about what cannot be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, GradstoreError, UsageError
from gradstore.graph.graph import Graph, load_graph
from gradstore.graph.nodes import Nodes
from gradstore.report.rows import Index, Rows
from gradstore.select.kept import Kept, load_kept

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["Chosen", "Gathered", "gather"]

MOST = 12
"""Selections that are shown unless they are named."""


@dataclass(frozen=True)
class Chosen:
    """A kept selection.

    Attributes
    ----------
    kept : Kept
    numbers : ndarray of int64, shape (N,)
        Number of each candidate among all rows.
    """

    kept: Kept
    numbers: Index

    @property
    def name(self) -> str:
        """Its name in the store."""
        return self.kept.name

    @property
    def picks(self) -> Index:
        """Numbers of the chosen rows, in pick order."""
        return self.numbers[self.kept.picks]

    @property
    def cut(self) -> float | None:
        """The lowest score among the chosen; None if there are no scores, or each target has its own."""
        scores = self.kept.scores[self.kept.picks]
        known = scores[np.isfinite(scores)]
        return float(known.min()) if len(known) and self.kept.config["balance"] == "shared" else None

    def spread(self, values: npt.NDArray[Any], rows: int, empty: Any) -> npt.NDArray[Any]:
        """Values of the candidates laid out for all rows, `empty` for rows that were no candidates."""
        found = np.full(rows, empty, values.dtype)
        found[self.numbers] = values
        return found


@dataclass(frozen=True)
class Gathered:
    """Everything that a report is made of.

    Attributes
    ----------
    info : dict
        `Store.info`.
    rows : Rows
        Of all data sets that can be read; one that several checkpoints hold counts once.
    graph_name : str
        ``""`` if there is no graph.
    graph : Graph or None
    nodes : ndarray of int64, shape (n,)
        Number of each node among all rows.
    selections : list of Chosen
    notes : list of str
        What is in the store and not shown, and why.
    """

    info: dict[str, Any]
    rows: Rows
    graph_name: str
    graph: Graph | None
    nodes: Index
    selections: list[Chosen]
    notes: list[str]


def gather(store: Store, selections: Sequence[str] | None, graph: str | None) -> Gathered:
    """Read all that is shown of a store, but texts; no vectors are read.

    Parameters
    ----------
    store : Store
    selections : sequence of str or None
        Names; None for all that can be read.
    graph : str or None
        Name; None for ``default``, or else the only one.

    Raises
    ------
    StoreNotFoundError, UsageError
        If something that was named is not there, or is named twice.
    GradstoreError
        If something that was named cannot be read, or its rows have changed.
    """
    notes: list[str] = []
    info = store.info()
    graph_name, found = _graph(store, graph, notes)
    kept = _selections(store, selections, notes)
    preferred = [
        *(found.attributes["checkpoints"] if found else ()),
        *(c for _, nodes in kept for c in _of(nodes)),
    ]
    rows = Rows(_datasets(store, preferred, notes))
    if found is not None and not _shown(rows, found.datasets, found.rows, found.ids):
        notes.append(
            f"Graph {graph_name!r} is not shown: its rows are others than those of its data sets here."
        )
        found = None
    chosen = []
    for each, nodes in kept:
        if _shown(rows, nodes.datasets, nodes.rows, each.ids):
            chosen.append(Chosen(each, rows.numbers(nodes.datasets, nodes.rows)))
        else:
            notes.append(
                f"Selection {each.name!r} is not shown: it was made from other rows than those of the graph."
            )
    numbers = rows.numbers(found.datasets, found.rows) if found else np.zeros(0, np.int64)
    return Gathered(info, rows, graph_name if found else "", found, numbers, chosen, notes)


def _graph(store: Store, name: str | None, notes: list[str]) -> tuple[str, Graph | None]:
    if name is not None:
        return name, load_graph(store, name)
    known = store.graphs
    if not known:
        return "", None
    if "default" not in known and len(known) > 1:
        notes.append(f"Several graphs, none of them shown: name one with --graph ({', '.join(known)}).")
        return "", None
    chosen = "default" if "default" in known else known[0]
    try:
        return chosen, load_graph(store, chosen)
    except GradstoreError as error:
        notes.append(f"Graph {chosen!r} is not shown: {error}.")
        return "", None


def _selections(store: Store, names: Sequence[str] | None, notes: list[str]) -> list[tuple[Kept, Nodes]]:
    """The selections and their candidates."""
    if names is not None:
        if len(set(names)) < len(names):
            raise UsageError("a selection is named twice: name each once")
        return [_selection(store, name) for name in names]
    found: list[tuple[Kept, Nodes]] = []
    left = list(store.selections)
    while left and len(found) < MOST:
        name = left.pop(0)
        try:
            found.append(_selection(store, name))
        except GradstoreError as error:
            notes.append(f"Selection {name!r} is not shown: {error}.")
    if left:
        notes.append(
            f"{MOST} of {len(store.selections)} selections are shown: name others with --selection "
            f"({', '.join(left)})."
        )
    return found


def _selection(store: Store, name: str) -> tuple[Kept, Nodes]:
    """One selection, checked to be of the rows that the store holds, and to be one."""
    kept = load_kept(store, name)
    try:
        nodes, _ = kept.nodes(store)
        whole = len(nodes) == len(kept.ids) == len(kept.scores) == len(kept.verdicts)
        inside = not len(kept.picks) or 0 <= int(kept.picks.min()) <= int(kept.picks.max()) < len(nodes)
        told = {"selector", "target", "balance", "train", "report", "seed"} <= set(kept.config)
        explained = all(len(each) == len(kept.picks) for each in (kept.serves, *kept.columns.values()))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise CorruptError(f"selection {name!r} does not tell what it was made from: select again") from error
    if not (whole and inside and told and explained):
        raise CorruptError(f"selection {name!r} has columns that do not fit each other: select again")
    return kept, nodes


def _of(nodes: Nodes) -> list[str]:
    return [dataset.checkpoint for dataset in nodes.parts[0].datasets]


def _shown(rows: Rows, names: npt.NDArray[np.object_], places: Index, ids: npt.NDArray[np.object_]) -> bool:
    """Whether rows of these ids stand at these places of the data sets that are shown."""
    if not set(names) <= set(rows.names):
        return False
    numbers = rows.numbers(names, places)
    return bool(
        (numbers < len(rows)).all() and np.array_equal(rows.column("ids")[numbers], np.asarray(ids, object))
    )


def _datasets(store: Store, preferred: Sequence[str], notes: list[str]) -> list[Dataset]:
    """Each data set once, train sets first, from the preferred checkpoint that holds it."""
    order = list(dict.fromkeys([*preferred, *store.checkpoints]))
    found: dict[str, Dataset] = {}
    problems: dict[str, str] = {}
    for checkpoint in order:
        for name in store.datasets(checkpoint):
            if name in found:
                continue
            try:
                found[name] = store.dataset(name, checkpoint)
            except GradstoreError as error:
                problems[f"{checkpoint}/{name}"] = (
                    f"Data set {name!r} of {checkpoint!r} is not shown: {error}."
                )
    notes.extend(problems.values())
    return sorted(found.values(), key=lambda each: (bool(each.attributes.get("target", False)), each.name))
