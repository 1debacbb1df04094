"""Exact nearest neighbours by blocked multiplication, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gradstore.graph.candidates import Candidates, Index
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.products import Engine, Float32, Loaded, choose_engine
from gradstore.graph.vectors import Float, Vectors
from gradstore.progress import Progress, silent

__all__ = [
    "MEMORY",
    "TILE",
    "Lists",
    "exact_lists",
    "exact_neighbours",
    "nearest_to",
    "tile",
]

MEMORY = 4_000_000_000
"""Bytes that a build may take unless told otherwise."""
TILE = 1024
"""Rows multiplied at once."""
_PROBE, _FEW = 256, 1024

Lists = tuple[npt.NDArray[np.int32], Float]
"""Neighbours of rows and their cosines, each of shape (rows, m)."""


class Wanted(NamedTuple):
    """What to list for each row: the `m` rows of largest ``sign · cosine``."""

    sign: int
    m: int


def exact_neighbours(vectors: Vectors, m: int, progress: Progress = silent, *, memory: int = MEMORY) -> Lists:
    """The m nearest other rows of every row; see `exact_lists`.

    Parameters
    ----------
    vectors : Vectors
        Unit rows, such as `Nodes`.
    m : int
        Neighbours of each row.
    progress : callable, optional
        ``progress(total, unit, label)`` gives a bar.
    memory : int, default 4e9
        Bytes that may be used.

    Returns
    -------
    neighbours : ndarray of int32, shape (n, m)
        By descending cosine, equal cosines by index; -1 where there are fewer than m other rows.
    cosines : ndarray of float32, shape (n, m)
        0 where there is no neighbour.

    Examples
    --------
    >>> import numpy as np
    >>> from gradstore.graph.vectors import Dense
    >>> rows = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    >>> exact_neighbours(Dense(rows), 1)[0]
    array([[1],
           [2],
           [1]], dtype=int32)
    """
    return exact_lists(vectors, [Wanted(1, m)], progress, memory=memory)[0]


def exact_lists(
    vectors: Vectors,
    wanted: Sequence[Wanted],
    progress: Progress = silent,
    *,
    memory: int = MEMORY,
    engine: Engine | None = None,
) -> list[Lists]:
    """The nearest, or the most contrary, other rows of every row.

    The matrix of cosines is symmetric, so each pair of blocks is multiplied once. Products are made by the fastest
    engine of this machine that is exact enough; what could be among the best is compared again by `pair_cosines`, so
    the lists are the same, bit for bit, on every machine.

    Memory: as many rows, in the engine's form, as fit into half of `memory` are kept; the others are read once for
    each such panel. Besides, some 24 bytes for each of the ``n · m`` neighbours.

    Parameters
    ----------
    vectors : Vectors
        Unit rows.
    wanted : sequence of Wanted
        One list for each.
    progress : Progress, optional
        Counts finished pairs of blocks.
    memory : int
        Bytes.
    engine : Engine, optional
        Default: `engine_for`.

    Returns
    -------
    list of (neighbours, cosines)
        As `exact_neighbours` returns them, by descending ``sign · cosine``.
    """
    engine = engine or engine_for(vectors)
    nodes = [np.arange(s, min(s + TILE, len(vectors))) for s in range(0, len(vectors), TILE)]
    pools = [[pool(vectors, each, one) for one in wanted] for each in nodes]
    panel = max(1, int(memory // 2 // (TILE * vectors.dim * engine.width)))
    with progress(len(pools) * (len(pools) + 1) // 2, "tiles", "exact neighbours") as bar:
        for first in range(0, len(pools), panel):
            held: list[tuple[int, Loaded]] = []
            for j, (_, loaded) in enumerate(tiles(vectors, engine, range(first * TILE, len(vectors))), first):
                if len(held) < panel and j < first + panel:
                    held.append((j, loaded))
                for i, left in held:
                    _offer(engine, left, loaded, wanted, pools[i], pools[j], (nodes[i], nodes[j]))
                    bar.update(1)
    return [finished(each, [of_block[k] for of_block in pools]) for k, each in enumerate(wanted)]


def nearest_to(vectors: Vectors, queries: Index, m: int) -> Lists:
    """The m nearest other rows of the rows `queries`, as `exact_neighbours` gives them."""
    return listed_among(vectors, queries, Wanted(1, m))


def listed_among(
    vectors: Vectors,
    queries: Index,
    wanted: Wanted,
    *,
    progress: Progress = silent,
) -> Lists:
    """One list, over all rows, for each of the rows `queries`, which are held in memory."""
    engine = engine_for(vectors)
    blocks = [queries[start : start + TILE] for start in range(0, len(queries), TILE)]
    held = [(block, engine.load(vectors.take(block)), pool(vectors, block, wanted)) for block in blocks]
    with progress(len(vectors), "rows", "comparing") as bar:
        for nodes, loaded in tiles(vectors, engine, range(len(vectors))):
            for block, left, best in held:
                product = engine.multiply(left, loaded)
                values = product if wanted.sign > 0 else -product
                values[block[:, None] == nodes] = -np.inf
                best.offer(values, nodes, left.error + loaded.error)
            bar.update(len(nodes))
    return finished(wanted, [best for _, _, best in held])


def engine_for(vectors: Vectors) -> Engine:
    """The engine to compare rows by: measured on some from all over, unless all are compared in the same time."""
    if len(vectors) <= _FEW:
        return Float32()
    return choose_engine(
        vectors.take(np.linspace(0, len(vectors) - 1, _PROBE).astype(np.int64)), vectors.widths
    )


def tile(rows: Float, size: int = TILE) -> Float:
    """`rows` filled up with zero rows to `size` rows."""
    if len(rows) == size:
        return rows
    padded = np.zeros((size, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return padded


def tiles(vectors: Vectors, engine: Engine, rows: range) -> Iterator[tuple[Index, Loaded]]:
    """Yield (numbers of the rows, rows as `engine` multiplies them), `TILE` at a time."""
    for start in range(rows.start, rows.stop, TILE):
        stop = min(start + TILE, rows.stop)
        yield np.arange(start, stop), engine.load(vectors.read(start, stop))


def pool(vectors: Vectors, nodes: Index, wanted: Wanted) -> Candidates:
    """Empty lists for the rows `nodes`."""

    def compare(row: Index, index: Index) -> Float:
        return wanted.sign * pair_cosines(vectors, nodes[row], index)

    return Candidates(len(nodes), wanted.m, compare)


def _offer(
    engine: Engine,
    left: Loaded,
    right: Loaded,
    wanted: Sequence[Wanted],
    rows: Sequence[Candidates],
    columns: Sequence[Candidates],
    nodes: tuple[Index, Index],
) -> None:
    """Let the rows and the columns of one product compete for the lists of each other."""
    product = engine.multiply(left, right)
    error = left.error + right.error
    for (sign, _), of_rows, of_columns in zip(wanted, rows, columns, strict=True):
        values = product if sign > 0 else -product
        if of_rows is of_columns:
            np.fill_diagonal(values, -np.inf)
        of_rows.offer(values, nodes[1], error)
        if of_rows is not of_columns:
            of_columns.offer(values.T, nodes[0], error)


def finished(wanted: Wanted, pools: Sequence[Candidates]) -> Lists:
    """The lists that `pools` have come to, one block of rows after the other."""
    found = [pool.best() for pool in pools]
    cosines = np.concatenate([values for _, values in found])
    return np.concatenate([indices for indices, _ in found]), wanted.sign * cosines + np.float32(0)  # no -0
