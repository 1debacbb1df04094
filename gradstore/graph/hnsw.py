"""Approximate nearest neighbours with hnswlib; the only file that knows it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.attach import joined
from gradstore.graph.cached import cached
from gradstore.graph.candidates import Index, ranks
from gradstore.graph.exact import MEMORY, Lists, Wanted
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.sketch import Sketch, sketched
from gradstore.graph.vectors import Dense, Float, Vectors
from gradstore.progress import Progress, silent

__all__ = ["Search", "hnsw_lists", "index_bytes"]

_BATCH = 1024
_SHARD_ROWS = 65_536
_SHARDS = 4
_WORK = 1 << 28
"""Bytes that rows take while they are compared."""


@dataclass(frozen=True, slots=True)
class Search:
    """Settings of the index.

    Attributes
    ----------
    M, ef_construction, ef : int
        Links of a row, and candidates kept while building and while searching one shard.
    keep : int
        Candidates of each row that are compared exactly.
    seed : int
        Of the index's random levels.
    workers : int
        Threads; they do not change the result.
    fast : bool
        One index that all threads fill at once: another result each time.
    """

    M: int
    ef_construction: int
    ef: int
    keep: int
    seed: int = 0
    workers: int = 1
    fast: bool = False


def hnsw_lists(
    vectors: Vectors,
    wanted: Sequence[Wanted],
    search: Search,
    sketch: Sketch | None = None,
    progress: Progress = silent,
    *,
    memory: int = MEMORY,
) -> tuple[list[Lists], int]:
    """Lists as those of `exact_lists`, nearly: found by HNSW indexes, ordered by exact cosines.

    The rows are cut into shards by their number alone. One thread fills a shard's index, in order, so that the same
    rows and seed give the same lists for any number of workers. A row is searched in every shard; the best of what
    is found is compared exactly. Rows that the search for themselves does not reach are linked exactly.

    Memory: hnswlib holds all points (`index_bytes`); what is left of `memory` keeps rows that were compared.

    Parameters
    ----------
    vectors : Vectors
    wanted : sequence of Wanted
    search : Search
    sketch : Sketch, optional
        Search by these sketches instead of the rows.
    progress : Progress, optional
    memory : int

    Returns
    -------
    lists : list of (neighbours, cosines)
    unreachable : int
        Rows that were linked exactly.
    """
    points: Vectors = vectors if sketch is None else Dense(sketched(vectors, sketch.basis, progress))
    indexes = list(_built(points, search, progress))
    vectors = cached(vectors, max(0, memory - _taken(points, wanted, search, sketch)))
    lists, lost = [], np.zeros(len(vectors), bool)
    for each in wanted:
        found, missing = _searched(vectors, points, indexes, each, search, progress)
        lists.append(found)
        lost |= missing
    del indexes, points
    unreachable = np.flatnonzero(lost)
    if len(unreachable):
        lists = [
            joined(vectors, found, unreachable, each, progress, memory=memory)
            for found, each in zip(lists, wanted, strict=True)
        ]
    return lists, len(unreachable)


def _taken(points: Vectors, wanted: Sequence[Wanted], search: Search, sketch: Sketch | None) -> int:
    """Memory of the index, its sketches, the lists and what is worked on."""
    lists = sum(8 * each.m for each in wanted)
    sketches = 0 if sketch is None else 4 * points.dim
    return index_bytes(len(points), points.dim, search.M) + len(points) * (lists + sketches) + _WORK


def index_bytes(rows: int, size: int, M: int) -> int:
    """Memory that hnswlib takes for `rows` points of `size` numbers: the point, links, label and level of each."""
    return rows * (4 * size + 4 * (2 * M + 1) + 8 + 4 * (M + 1) // M + 16)


def check_hnswlib() -> None:
    """Refuse a fork that has put itself in the place of hnswlib.

    Raises
    ------
    UsageError
    """
    try:
        fork = importlib.metadata.version("chroma-hnswlib")
    except importlib.metadata.PackageNotFoundError:
        return
    raise UsageError(
        f"chroma-hnswlib {fork} is installed and replaces the module hnswlib by its own: use another environment, or "
        "`pip uninstall chroma-hnswlib` and then `pip install --force-reinstall hnswlib`; --exact works without it"
    )


def _bounds(rows: int, search: Search) -> list[int]:
    shards = 1 if search.fast else min(_SHARDS, -(-rows // _SHARD_ROWS))
    return [rows * i // shards for i in range(shards + 1)]


def _built(points: Vectors, search: Search, progress: Progress) -> Iterator[Any]:
    """Yield the index of each shard."""
    check_hnswlib()
    import hnswlib

    bounds = _bounds(len(points), search)
    with progress(len(points), "rows", "building the index") as bar:

        def build(first: int, last: int) -> Any:
            # On unit rows the inner product is the cosine; the space "cosine" would normalise once more.
            index = hnswlib.Index(space="ip", dim=points.dim)
            index.init_index(
                max_elements=last - first,
                M=search.M,
                ef_construction=search.ef_construction,
                random_seed=search.seed,
            )
            for start in range(first, last, _BATCH):
                stop = min(start + _BATCH, last)
                rows = np.ascontiguousarray(points.read(start, stop))
                index.add_items(
                    rows, np.arange(start, stop), num_threads=search.workers if search.fast else 1
                )
                bar.update(stop - start)
            return index

        with ThreadPoolExecutor(search.workers) as threads:
            yield from threads.map(build, bounds[:-1], bounds[1:])


def _searched(
    vectors: Vectors,
    points: Vectors,
    indexes: Sequence[Any],
    wanted: Wanted,
    search: Search,
    progress: Progress,
) -> tuple[Lists, npt.NDArray[np.bool_]]:
    """One list of each row, and whether the search lost the row itself."""
    count = len(vectors)
    links, cosines = np.full((count, wanted.m), -1, np.int32), np.zeros((count, wanted.m), np.float32)
    lost = np.zeros(count, bool)
    ef = max(search.ef, -(-(search.keep + 1) // len(indexes)))
    for index in indexes:
        index.set_ef(ef)
    with progress(count, "rows", "searching the index") as bar:

        def look(start: int) -> None:
            nodes = np.arange(start, min(start + _BATCH, count))
            rows = np.ascontiguousarray(wanted.sign * points.read(start, int(nodes[-1]) + 1), np.float32)
            found = [_query(index, rows, min(ef, index.element_count)) for index in indexes]
            labels = np.concatenate([each for each, _ in found], axis=1)
            distances = np.concatenate([each for _, each in found], axis=1)
            # A row is always among the nearest of itself, unless nothing in the index leads to it.
            own = labels == nodes[:, None]
            lost[nodes] = ~own.any(axis=1) if wanted.sign > 0 else (labels < 0).all(axis=1)
            distances[own | (labels < 0)] = np.inf
            best = np.argpartition(distances, min(search.keep, labels.shape[1]) - 1, axis=1)[:, : search.keep]
            chosen = np.where(
                np.isinf(np.take_along_axis(distances, best, axis=1)),
                -1,
                np.take_along_axis(labels, best, axis=1),
            )
            links[nodes], cosines[nodes] = _ranked(vectors, nodes, chosen, wanted)
            bar.update(len(nodes))

        with ThreadPoolExecutor(search.workers) as threads:
            for _ in threads.map(look, range(0, count, _BATCH)):
                pass
    return (links, cosines), lost


def _query(index: Any, rows: Float, found: int) -> tuple[Index, Float]:
    """Labels and distances of the `found` nearest of each row; -1 where the index reaches fewer."""
    try:
        labels, distances = index.knn_query(rows, k=found, num_threads=1)
    except RuntimeError:  # fewer than asked for one row: hnswlib then returns none at all
        if len(rows) > 1:
            halves = [_query(index, half, found) for half in np.array_split(rows, 2)]
            return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])
        if found > 1:
            labels, distances = _query(index, rows, found // 2)
            wide = ((0, 0), (0, found - labels.shape[1]))
            return np.pad(labels, wide, constant_values=-1), np.pad(distances, wide, constant_values=np.inf)
        return np.full((1, 1), -1), np.full((1, 1), np.inf, np.float32)
    return labels.astype(np.int64), distances


def _ranked(vectors: Vectors, nodes: Index, chosen: Index, wanted: Wanted) -> Lists:
    """The best of the `chosen` rows of each node by exact cosine and index; -1 marks none."""
    row, column = np.nonzero(chosen >= 0)
    other = chosen[row, column]
    exact = pair_cosines(vectors, nodes[row], other)
    order = np.lexsort((other, -wanted.sign * exact, row))
    row, other, exact = row[order], other[order], exact[order]
    rank = ranks(row, len(nodes))
    keep = rank < wanted.m
    links = np.full((len(nodes), wanted.m), -1, np.int32)
    cosines = np.zeros(links.shape, np.float32)
    links[row[keep], rank[keep]], cosines[row[keep], rank[keep]] = other[keep], exact[keep]
    return links, cosines
