"""Building the mixed instruction graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from gradstore.errors import UsageError
from gradstore.graph.exact import exact_neighbours
from gradstore.graph.graph import Graph, load_graph
from gradstore.graph.hnsw import hnsw_neighbours
from gradstore.graph.origin import digests
from gradstore.graph.quality import measured_recall
from gradstore.graph.sets import common_checkpoints, default_sets, open_nodes
from gradstore.progress import Log, Progress, silent, unheard

if TYPE_CHECKING:
    from gradstore.store import Store

__all__ = ["build_graph", "exact_limit"]


def build_graph(
    store: Store | str | Path,
    *,
    train: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    checkpoints: Sequence[str] | None = None,
    direction: str | None = None,
    target_direction: str | None = None,
    neighbours: int = 32,
    method: Literal["auto", "exact", "hnsw"] = "auto",
    name: str = "default",
    seed: int = 0,
    M: int = 16,
    ef_construction: int = 200,
    ef: int = 128,
    progress: Progress = silent,
    log: Log = unheard,
) -> Graph:
    """Link every train and target row to its nearest rows and write the graph to the store.

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
        Neighbours of each row.
    method : {"auto", "exact", "hnsw"}
        ``auto`` takes ``exact`` up to `exact_limit` rows, where it is the faster one.
    name : str, default "default"
        Name in the store; a graph of this name is replaced.
    seed : int, default 0
        Seed of the HNSW index and of the rows on which recall is measured.
    M, ef_construction, ef : int
        Settings of the HNSW index.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what will be downloaded.

    Returns
    -------
    Graph

    Raises
    ------
    UsageError, StoreNotFoundError, IncompatibleError
        If the data sets cannot be linked; see `open_nodes`.
    """
    from gradstore.sharing import write_card
    from gradstore.store import download_note, open_store, write_artifact

    opened = open_store(store) if isinstance(store, str | Path) else store
    if neighbours < 1:
        raise UsageError(f"neighbours is {neighbours}; each row needs at least 1")
    if method not in ("auto", "exact", "hnsw"):
        raise UsageError(f"method is {method!r}; choose auto, exact or hnsw")
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
    chosen, why = _choose(method, len(nodes), nodes.dim, neighbours)
    if chosen == "exact":
        links, cosines = exact_neighbours(nodes, neighbours, progress)
        settings = {}
    else:
        settings = {"M": M, "ef_construction": ef_construction, "ef": ef}
        links, cosines = hnsw_neighbours(
            nodes, neighbours, seed=seed, M=M, ef_construction=ef_construction, ef=ef, progress=progress
        )
    directions = {part.datasets[0].name: part.direction for part in nodes.parts}
    recall = measured_recall(nodes, links, cosines, seed=seed)
    write_artifact(
        opened,
        "graphs",
        name,
        arrays={"neighbours": links, "cosines": cosines, "rows": nodes.rows},
        strings={"ids": list(nodes.ids), "datasets": list(nodes.datasets)},
        attributes={
            "method": chosen,
            "why": why,
            "neighbours": neighbours,
            "recall": recall,
            "seed": seed,
            "settings": settings,
            "train": train,
            "targets": targets,
            "checkpoints": list(keys),
            "weights": list(nodes.weights),
            "directions": directions,
            "digests": digests(opened, keys, directions),
        },
    )
    write_card(opened)
    return load_graph(opened, name)


def exact_limit(dim: int, neighbours: int) -> int:
    """Rows up to which exact multiplication is faster than HNSW.

    Interpolates measurements on two cores: the methods meet at about 73 000 rows for 1024 dimensions and 32
    neighbours. With more dimensions multiplication gains (it is bound by arithmetic, HNSW by memory), with more
    neighbours HNSW searches longer. Held within 55 000 to 130 000 rows, the range that was measured.
    """
    limit = 73_000 * (dim / 1024) ** (1 / 3) * (neighbours / 32) ** 0.5
    return int(np.clip(limit, 55_000, 130_000))


def _choose(method: str, rows: int, dim: int, neighbours: int) -> tuple[str, str]:
    if method != "auto":
        return method, "asked for"
    limit = exact_limit(dim, neighbours)
    if rows <= limit:
        return "exact", f"{rows} rows are at most {limit}, where exact multiplication is faster"
    return "hnsw", f"{rows} rows are more than {limit}, where HNSW is faster"
