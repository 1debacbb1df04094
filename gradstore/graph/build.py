"""Building the mixed instruction graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradstore.errors import StoreWriteError, UsageError
from gradstore.graph.attach import joined
from gradstore.graph.distinct import Distinct, expanded, originals
from gradstore.graph.exact import MEMORY, Lists, Wanted, exact_lists
from gradstore.graph.graph import EXACT, Graph, load_graph
from gradstore.graph.grown import lists_so_far
from gradstore.graph.hnsw import Search, hnsw_lists
from gradstore.graph.method import choose_method
from gradstore.graph.nodes import Nodes
from gradstore.graph.origin import digests
from gradstore.graph.quality import graph_quality
from gradstore.graph.sets import common_checkpoints, default_sets, open_nodes
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.store.layout import check_name

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["Compare", "build_graph"]

Compare = Callable[[Nodes, Sequence[Wanted], Progress], list[Lists]]
"""Does the work of `exact_lists` elsewhere, such as `gradstore.cluster.Cluster.lists`."""


def build_graph(
    store: Store | str | Path,
    *,
    train: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    checkpoints: Sequence[str] | None = None,
    direction: str | None = None,
    target_direction: str | None = None,
    neighbours: int = 32,
    conflicts: int = 0,
    method: Literal["auto", "exact", "hnsw"] = "auto",
    name: str = "default",
    rebuild: bool = False,
    seed: int = 0,
    M: int = 16,
    ef_construction: int = 100,
    ef: int = 128,
    sketch: int | None = None,
    fast: bool = False,
    workers: int | None = None,
    memory: int = MEMORY,
    compare: Compare | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> Graph:
    """Link every train and target row to its nearest rows and write the graph to the store.

    If the store has a graph of this name, built alike over some of the same rows, the others are attached to it.

    Parameters
    ----------
    store : Store or path
    train, targets : sequence of str, optional
        Data sets. Default: all that are not targets, and all that are.
    checkpoints : sequence of str, optional
        Default: all that hold all of the data sets.
    direction, target_direction : str, optional
        Default: ``adam`` and ``sgd`` where a data set has them, else its only direction.
    neighbours : int, default 32
        Neighbours of each row, or all others where they are fewer.
    conflicts : int, default 0
        Rows of most negative cosine to list for each row.
    method : {"auto", "exact", "hnsw"}
        ``auto`` takes the one that will be finished first, see `choose_method`.
    name : str, default "default"
        Name in the store; a graph of this name is replaced.
    rebuild : bool, default False
        Build anew even where rows could be attached.
    seed : int, default 0
        Seed of the HNSW index and of the rows on which recall is measured.
    M, ef_construction, ef : int
        Settings of the HNSW index, see `Search`.
    sketch : int, optional
        Numbers of the sketches by which HNSW searches; 0 for none. Default: chosen by measuring.
    fast : bool, default False
        Fill one HNSW index by all workers at once. The result is another one each time.
    workers : int, optional
        Threads of HNSW; they change the time, not the result. Default: the processors of this machine.
    memory : int
        Bytes that the build may take.
    compare : callable, optional
        Compares all pairs elsewhere, see `gradstore.cluster`; rows that are attached are compared here.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what will be downloaded and done.

    Returns
    -------
    Graph

    Raises
    ------
    UsageError, StoreNotFoundError, IncompatibleError
        If the data sets cannot be linked; see `open_nodes`.
    StoreWriteError
        If the store cannot be written; before anything is built, as far as that is known then.
    """
    from gradstore.sharing import write_card
    from gradstore.store import download_note, open_store, told_before, write_artefact

    opened = open_store(store) if isinstance(store, str | Path) else store
    if compare is not None and method == "hnsw":
        raise UsageError("a cluster compares all pairs: leave out HNSW")
    _check(name, neighbours, conflicts, method, sketch, workers)
    if not opened.writable:
        raise StoreWriteError(
            f"{opened.location} cannot be written: build the graph in an overlay "
            f"(gradstore store new mine.zarr --on {opened.location})"
        )
    train, targets = default_sets(opened, train, targets)
    keys = common_checkpoints(opened, [*train, *targets], checkpoints)
    nodes = open_nodes(
        opened,
        train=train,
        targets=targets,
        checkpoints=keys,
        direction=direction,
        target_direction=target_direction,
    )
    note = download_note(nodes.vectors)
    if note:
        log(note)
    neighbours, conflicts = (_fitting(len(nodes), each, log) for each in (neighbours, conflicts))
    wanted = [Wanted(1, neighbours), *([Wanted(-1, conflicts)] if conflicts else [])]
    before = None if rebuild else lists_so_far(opened, name, nodes, wanted, method)
    if before is not None:
        here = "" if compare is None else ", by this process"
        log(f"{len(before.new)} rows are attached to graph {name!r}{here}; --rebuild starts over")
        lists = [
            joined(nodes, each, before.new, one, progress, memory=memory)
            for each, one in zip(before.lists, wanted, strict=True)
        ]
        built = {**before.built, "attached": before.attached + len(before.new)}
        first = originals(nodes)
    elif compare is not None:
        lists, first = compare(nodes, wanted, progress), originals(nodes)
        built = {"method": "exact", "why": "asked for, on a cluster", "settings": {}, "attached": 0}
    else:
        first = originals(nodes)
        search = Search(M, ef_construction, ef, 0, seed, workers or _processors(), fast)
        lists, built = _lists(nodes, first, wanted, method, search, sketch, memory, progress, log)
    links, cosines = lists[0]
    directions = {part.datasets[0].name: part.direction for part in nodes.parts}
    quality = graph_quality(
        nodes,
        links,
        cosines,
        conflicts=lists[1] if conflicts else None,
        seed=seed,
        copies=int((first != np.arange(len(nodes))).sum()),
        progress=progress,
    )
    arrays = {"neighbours": links, "cosines": cosines, "rows": nodes.rows}
    if conflicts:
        arrays |= {"conflicts": lists[1][0], "conflict_cosines": lists[1][1]}
    replaced = None if before is not None else told_before(opened, "graphs", name)
    write_artefact(
        opened,
        "graphs",
        name,
        arrays=arrays,
        strings={"ids": list(nodes.ids), "datasets": list(nodes.datasets)},
        attributes={
            **built,
            "neighbours": neighbours,
            "conflicts": conflicts,
            "recall": quality["recall"],
            "quality": quality,
            "seed": seed,
            "train": train,
            "targets": targets,
            "checkpoints": list(keys),
            "weights": list(nodes.weights),
            "directions": directions,
            "digests": digests(opened, keys, directions),
        },
    )
    write_card(opened)
    if replaced is not None:
        log(f"replaced graph {name}{_described(replaced)}")
    return load_graph(opened, name)


def _described(told: Mapping[str, Any]) -> str:
    """What the graph that was replaced was like, as far as it tells."""
    method, neighbours, conflicts = (told.get(key) for key in ("method", "neighbours", "conflicts"))
    if method is None or neighbours is None:
        return ""
    more = f", {conflicts} conflicts" if conflicts else ""
    return f" ({method}, {neighbours} neighbours{more} a row)"


def _lists(
    nodes: Nodes,
    first: np.ndarray[Any, np.dtype[np.int64]],
    wanted: Sequence[Wanted],
    method: Literal["auto", "exact", "hnsw"],
    search: Search,
    sketch: int | None,
    memory: int,
    progress: Progress,
    log: Log,
) -> tuple[list[Lists], dict[str, Any]]:
    """Lists of all nodes by one method or the other, and how they were made. Copies are compared once."""
    kept = np.unique(first)
    vectors = nodes if len(kept) == len(nodes) else Distinct(nodes, kept)
    chosen = choose_method(vectors, wanted[0].m, method, search, sketch=sketch, memory=memory)
    log(f"{chosen.name}: {chosen.why}")
    settings: dict[str, Any] = {}
    if chosen.name == "exact":
        lists = exact_lists(vectors, wanted, progress, memory=memory)
    else:
        lists, unreachable = hnsw_lists(
            vectors, wanted, chosen.search, chosen.sketch, progress, memory=memory
        )
        settings = {
            "M": search.M,
            "ef_construction": search.ef_construction,
            "ef": search.ef,
            "keep": chosen.search.keep,
            "sketch": 0 if chosen.sketch is None else chosen.sketch.basis.shape[1],
            "fast": search.fast,
            "unreachable": unreachable,
        }
    whole = [expanded(nodes, each, first, one) for each, one in zip(lists, wanted, strict=True)]
    return whole, {"method": chosen.name, "why": chosen.why, "settings": settings, "attached": 0}


def _fitting(nodes: int, each: int, log: Log) -> int:
    """How many others a row can list: a longer list would be stored as padding."""
    most = max(nodes - 1, 1)
    if each > most:
        log(f"a row of {nodes} has {most} others: {most} are listed instead of {each}")
    return min(each, most)


def _check(
    name: str, neighbours: int, conflicts: int, method: str, sketch: int | None, workers: int | None
) -> None:
    if name == EXACT:
        raise UsageError(f"no graph can be called {EXACT!r}: that name stands for a choice without a graph")
    check_name("graph", name)
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}; each row needs at least 1")
    if conflicts < 0:
        raise UsageError(f"conflicts is {conflicts}; 0 for none, or how many to list for each row")
    if method not in ("auto", "exact", "hnsw"):
        raise UsageError(f"method is {method!r}; choose auto, exact or hnsw")
    if sketch is not None and sketch < 0:
        raise UsageError(f"sketch is {sketch}; 0 for none, or how many numbers it has")
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; choose at least 1")


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
