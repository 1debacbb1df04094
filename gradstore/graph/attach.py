"""Rows that join lists which exist: a target that arrives later, a row that a search could not reach."""

from __future__ import annotations

import numpy as np

from gradstore.graph.candidates import Index, ranks
from gradstore.graph.exact import MEMORY, TILE, Lists, Wanted, engine_for, finished, pool, tiles
from gradstore.graph.pairs import pair_cosines
from gradstore.graph.vectors import Float, Vectors
from gradstore.progress import Progress, silent

__all__ = ["joined"]


def joined(
    vectors: Vectors,
    lists: Lists,
    new: Index,
    wanted: Wanted,
    progress: Progress = silent,
    *,
    memory: int = MEMORY,
) -> Lists:
    """`lists` with exact ones for the rows `new`, which also take their places in the lists of all other rows.

    If the lists of the others are exact among themselves, the result is that of `exact_lists` over all rows, for
    ``len(new) · n`` products instead of ``n² / 2``.

    Parameters
    ----------
    vectors : Vectors
        All rows, old and new.
    lists : (neighbours, cosines)
        Over all rows; what stands in the rows `new` is ignored. Others may list some of these already, with exact
        cosines.
    new : ndarray of int64
        Ascending.
    wanted : Wanted
        What the lists are of.
    """
    engine = engine_for(vectors)
    links, cosines = lists[0].copy(), lists[1].copy()
    is_old = np.ones(len(vectors), bool)
    is_old[new] = False
    panel = TILE * max(1, int(memory // 2 // (TILE * vectors.dim * engine.width)))
    with progress(-(-len(new) // panel) * len(vectors), "rows", "attaching") as bar:
        for first in range(0, len(new), panel):
            here = new[first : first + panel]
            blocks = [here[start : start + TILE] for start in range(0, len(here), TILE)]
            held = [
                (block, engine.load(vectors.take(block)), pool(vectors, block, wanted)) for block in blocks
            ]
            for nodes, loaded in tiles(vectors, engine, range(len(vectors))):
                worst = np.where(links[nodes] >= 0, wanted.sign * cosines[nodes], -np.inf).min(axis=1)
                worst[~is_old[nodes]] = np.inf
                rows, others = [], []
                for block, left, best in held:
                    product = engine.multiply(left, loaded)
                    error = left.error + loaded.error
                    values = product if wanted.sign > 0 else -product
                    values[block[:, None] == nodes] = -np.inf
                    best.offer(values, nodes, error)
                    column, row = np.nonzero(values >= _floor(worst, values, wanted.m, error))
                    rows.append(nodes[row])
                    others.append(block[column])
                _admit(vectors, (links, cosines), np.concatenate(rows), np.concatenate(others), wanted)
                bar.update(len(nodes))
            for block, _, best in held:
                links[block], cosines[block] = finished(wanted, [best])
    return links, cosines


def _floor(worst: Float, values: Float, m: int, error: float) -> Float:
    """What of `values` could enter each column's list that ends with `worst`; lists with room take the m best."""
    floor: Float = worst - np.float32(error)
    short = np.flatnonzero(np.isneginf(worst))
    if len(short) and len(values) > m:
        best = -np.partition(-values[:, short], m - 1, axis=0)[m - 1]
        floor[short] = best - np.float32(2 * error)
    return floor


def _admit(vectors: Vectors, lists: Lists, rows: Index, others: Index, wanted: Wanted) -> None:
    """Let row ``others[p]`` compete for the list of row ``rows[p]``, in place."""
    order = np.lexsort((others, rows))
    rows, others = rows[order], others[order]
    exact = pair_cosines(vectors, rows, others)
    changed, place = np.unique(rows, return_inverse=True)
    links, cosines = lists[0][changed], lists[1][changed]
    row, column = np.nonzero(links >= 0)
    place = np.concatenate([row, place])
    index = np.concatenate([links[row, column], others.astype(np.int32)])
    value: Float = np.concatenate([cosines[row, column], exact])
    order = np.lexsort((index, -wanted.sign * value, place))
    place, index, value = place[order], index[order], value[order]
    fresh = np.ones(len(place), bool)
    fresh[1:] = (np.diff(place) != 0) | (np.diff(index) != 0)  # not listed already
    place, index, value = place[fresh], index[fresh], value[fresh]
    rank = ranks(place, len(changed))
    keep = rank < wanted.m
    place, rank = place[keep], rank[keep]
    links[:], cosines[:] = -1, 0
    links[place, rank], cosines[place, rank] = index[keep], value[keep]
    lists[0][changed], lists[1][changed] = links, cosines
