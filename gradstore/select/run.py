"""`gradstore.select`: from a store to the chosen rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, UsageError
from gradstore.graph.exact import MEMORY
from gradstore.graph.graph import EXACT, Graph, load_graph
from gradstore.graph.nodes import Nodes
from gradstore.graph.origin import rebuild_command
from gradstore.graph.sets import default_sets, open_nodes
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.records import Selection
from gradstore.select.context import Project, SelectionContext
from gradstore.select.params import settings
from gradstore.select.picked import Picked
from gradstore.select.protocol import Selector
from gradstore.select.resolve import resolve
from gradstore.select.target import Target

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["restricted_graph", "rows_for", "select"]

_BLOCK = 1 << 16


def select(
    store: Store | str | Path,
    *,
    selector: str | Selector = "g2is",
    target: str | None = None,
    budget: int | float,
    train: Sequence[str] | None = None,
    checkpoints: Sequence[str] | None = None,
    direction: str | None = None,
    target_direction: str | None = None,
    graph: str = "default",
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    memory: int = MEMORY,
    project: Project | None = None,
    name: str | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> Picked:
    """Choose rows of the train sets, and keep the choice in the store if it is on this machine and can be written.

    Parameters
    ----------
    store : Store or path
    selector : str or Selector, default "g2is"
        An installed selector, a class in a file (``"mine.py:Mine"``), or a selector itself.
    target : str, optional
        Data set to select for.
    budget : int or float
        Rows to choose, or with a float the share of all rows of the train sets.
    train : sequence of str, optional
        Data sets to choose from; default: all that are not targets.
    checkpoints : sequence of str, optional
        Default: all that hold all of the data sets.
    direction, target_direction : str, optional
        Default: ``adam`` and ``sgd`` where a data set has them, else its only direction.
    graph : str, default "default"
        Name of the graph, for selectors that use one. ``"exact"``: none; neighbours are computed where they are
        needed.
    params : Mapping, optional
        Parameters of the selector, as values or texts.
    seed : int, default 0
    memory : int, default 4 GiB
        Bytes that may be held of vectors; what does not fit is read when it is needed. Picks are the same.
    project : callable, optional
        ``project(nodes, directions, progress)`` computes the similarities elsewhere, see `gradstore.cluster`.
    name : str, optional
        Name of the selection in the store; default: selector and target.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what will be downloaded.

    Returns
    -------
    Picked

    Raises
    ------
    UsageError
        If the budget, the selector or one of its parameters cannot be right, or a needed target is not given.
    DataError
        If a data set has no valid row.
    StoreNotFoundError
        If a data set, checkpoint or needed graph does not exist.
    IncompatibleError
        If the data sets share no checkpoint, or the graph is older than its rows.
    """
    from gradstore.store import open_store

    opened = open_store(store) if isinstance(store, str | Path) else store
    rule = resolve(selector, params)
    train, targets = default_sets(opened, train, [target] if target else [])
    if not train:
        raise UsageError(
            f"{opened.location} has no data set to choose from; run `gradstore extract {opened.location} …`"
        )
    both = open_nodes(
        opened,
        train=train,
        targets=targets,
        checkpoints=checkpoints,
        direction=direction,
        target_direction=target_direction,
    )
    nodes = Nodes([part for part in both.parts if not part.target], both.weights)
    aim = (
        Target(target, Nodes([part for part in both.parts if part.target], both.weights)) if target else None
    )
    wanted = rows_for(budget, rows=sum(len(part.datasets[0]) for part in nodes.parts), candidates=len(nodes))
    context = SelectionContext(
        nodes,
        target=aim,
        graph=lambda: restricted_graph(load_graph(opened, graph), nodes, opened, graph),
        exact=graph == EXACT,
        seed=seed,
        memory=memory,
        elsewhere=project,
        progress=progress,
        before_vectors=lambda: _announce(both, log),
    )
    selection = _checked(rule, rule.select(context, wanted), len(nodes), wanted)
    config = {
        "selector": rule.name,
        "parameters": settings(rule),
        "target": target,
        "budget": wanted,
        "rows": sum(len(part.datasets[0]) for part in nodes.parts),
        "candidates": len(nodes),
        "train": train,
        "checkpoints": [dataset.checkpoint for dataset in nodes.parts[0].datasets],
        "weights": list(nodes.weights),
        "directions": {part.datasets[0].name: part.direction for part in both.parts},
        "digests": {
            f"{d.checkpoint}/{d.name}": d.digest_of(part.direction)
            for part in both.parts
            for d in part.datasets
        },
        "graph": graph,
        "seed": seed,
    }
    picked = Picked(nodes, selection, config)
    if opened.folder.path is None:
        log(
            f"the choice is not kept in {opened.location}, which is not on this machine: an overlay would keep it "
            f"(gradstore store new mine.zarr --on {opened.location})"
        )
    elif opened.writable:
        _keep(opened, name or "-".join(filter(None, (rule.name, target))), picked)
    return picked


def _announce(nodes: Nodes, log: Log) -> None:
    """Say how much reading the vectors will download."""
    from gradstore.store import download_note

    note = download_note(nodes.vectors)
    if note:
        log(note)


def rows_for(budget: int | float, *, rows: int, candidates: int) -> int:
    """Number of rows that `budget` means: a whole number as it is, a float as a share of `rows`, at least 1.

    Raises
    ------
    UsageError
        If it is none of both, or more than there are candidates.
    """
    if isinstance(budget, float):
        if not 0 < budget <= 1:
            raise UsageError(
                f"the fraction is {budget}; choose above 0 and up to 1, or a whole number of rows"
            )
        wanted = max(1, int(rows * budget))
    else:
        wanted = budget
    if isinstance(budget, bool) or wanted < 1:
        raise UsageError(f"the budget is {budget}; choose at least 1 row")
    if wanted > candidates:
        raise UsageError(f"the budget is {wanted} rows, but only {candidates} of {rows} rows have a gradient")
    return wanted


def restricted_graph(graph: Graph, nodes: Nodes, store: Store, name: str) -> npt.NDArray[np.int32]:
    """Neighbours among the candidates: of the graph's links those that end at a candidate.

    Raises
    ------
    IncompatibleError
        If the graph lacks candidates, or was built with other checkpoints, weights or directions.
    """
    wanted: dict[str, Any] = {
        "checkpoints": [dataset.checkpoint for dataset in nodes.parts[0].datasets],
        "directions": {part.datasets[0].name: part.direction for part in nodes.parts},
    }
    held = {
        "checkpoints": list(graph.attributes["checkpoints"]),
        "directions": {key: graph.attributes["directions"].get(key) for key in wanted["directions"]},
    }
    needed = {
        **graph.attributes,
        "train": list(wanted["directions"]),
        "checkpoints": wanted["checkpoints"],
        "directions": {**graph.attributes["directions"], **wanted["directions"]},
    }
    for what, value in wanted.items():
        if held[what] != value:
            raise IncompatibleError(
                f"graph {name!r} has {what} {held[what]}, this selection {value}; build one for it: "
                f"{rebuild_command(store, name, needed)}"
            )
    candidate = np.full(len(graph), -1, np.int64)
    node = np.full(len(nodes), -1, np.int64)
    for part in nodes.parts:
        dataset = part.datasets[0].name
        there, here = np.flatnonzero(graph.datasets == dataset), np.flatnonzero(nodes.datasets == dataset)
        _, at, ours = np.intersect1d(graph.rows[there], nodes.rows[here], return_indices=True)
        candidate[there[at]] = here[ours]
        node[here[ours]] = there[at]
    if (node < 0).any():
        raise IncompatibleError(
            f"graph {name!r} lacks {int((node < 0).sum())} of the {len(nodes)} candidates; rebuild it: "
            f"{rebuild_command(store, name, needed)}"
        )
    return _renumbered(graph.neighbours, node, candidate)


def _renumbered(
    neighbours: npt.NDArray[np.int32], node: npt.NDArray[np.int64], candidate: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Neighbours of the nodes `node` as candidates, -1 behind the last; few at a time, to need little memory."""
    links = np.empty((len(node), neighbours.shape[1]), np.int32)
    for start in range(0, len(node), _BLOCK):
        found = neighbours[node[start : start + _BLOCK]]
        found = np.where(found >= 0, candidate[found], -1)
        front = np.argsort(found < 0, axis=1, kind="stable")
        links[start : start + _BLOCK] = np.take_along_axis(found, front, axis=1)
    return links


def _checked(rule: Selector, selection: Selection, candidates: int, budget: int) -> Selection:
    """`selection` with picks as int64, if a selector may return it."""
    picks = np.asarray(selection.picks)
    if len(picks) > budget:
        raise UsageError(f"selector {rule.name!r} picked {len(picks)} rows of a budget of {budget}")
    if len(picks) and (picks.min() < 0 or picks.max() >= candidates):
        raise UsageError(f"selector {rule.name!r} picked a row that is no candidate")
    return replace(selection, picks=picks.astype(np.int64))


def _keep(store: Store, name: str, picked: Picked) -> None:
    from gradstore.sharing import write_card
    from gradstore.store import write_artifact

    nodes, selection = picked.nodes, picked.selection
    ranks = np.full(len(nodes), -1, np.int32)
    ranks[selection.picks] = np.arange(len(picked))
    scores = selection.scores if selection.scores is not None else np.full(len(nodes), np.nan)
    arrays: dict[str, npt.NDArray[Any]] = {
        "picks": selection.picks,
        "ranks": ranks,
        "scores": np.asarray(scores, np.float32),
    }
    strings = {"ids": list(nodes.ids), "datasets": list(nodes.datasets)}
    for column, values in selection.columns.items():
        if all(isinstance(value, str) for value in values):
            strings[f"why-{column}"] = list(values)
        else:
            arrays[f"why-{column}"] = np.asarray(values)
    write_artifact(store, "selections", name, arrays=arrays, strings=strings, attributes=picked.report())
    write_card(store)
