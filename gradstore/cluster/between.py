"""The best of two panels of rows among each other: what one task computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradstore.cluster.panels import Held
from gradstore.graph.candidates import Candidates, Index
from gradstore.graph.exact import Lists, Wanted, finished, pool, tiles
from gradstore.graph.products import choose_engine
from gradstore.graph.vectors import Float, Vectors

__all__ = ["lists_between"]

_PROBE = 256


def lists_between(vectors: Vectors, left: range, right: range, wanted: Sequence[Wanted]) -> list[list[Lists]]:
    """The best of each row of `left` among `right`, and of each row of `right` among `left`.

    Each pair of tiles is multiplied once, as in `exact_lists`. Only the two panels are read.

    Parameters
    ----------
    vectors : Vectors
        Unit rows.
    left, right : range
        Rows; the same range twice, or two that do not overlap.
    wanted : sequence of Wanted
        One list for each.

    Returns
    -------
    list of lists of (neighbours, cosines)
        As `exact_lists` returns them, for the rows of `left`, and for those of `right` if it is another range.
    """
    held = Held(vectors, left, right)
    engine = choose_engine(held.read(left.start, min(left.start + _PROBE, left.stop)), held.widths)
    rows = list(tiles(held, engine, left))
    of_left = [[pool(held, each, one) for one in wanted] for each, _ in rows]
    of_right = of_left if left == right else []
    for j, (columns, loaded) in enumerate(tiles(held, engine, right)):
        if left != right:
            of_right.append([pool(held, columns, one) for one in wanted])
        for i, (nodes, mine) in enumerate(rows[: j + 1] if left == right else rows):
            product, error = engine.multiply(mine, loaded), mine.error + loaded.error
            for k, one in enumerate(wanted):
                values = product if one.sign > 0 else -product
                _offer(values, nodes, columns, of_left[i][k], of_right[j][k], error)
    panels = [of_left] if left == right else [of_left, of_right]
    return [[finished(one, [each[k] for each in pools]) for k, one in enumerate(wanted)] for pools in panels]


def _offer(
    values: Float, rows: Index, columns: Index, of_rows: Candidates, of_columns: Candidates, error: float
) -> None:
    """Let the rows and the columns of one product compete for each other's lists."""
    if of_rows is of_columns:
        np.fill_diagonal(values, -np.inf)
    else:
        of_columns.offer(values.T, rows, error)
    of_rows.offer(values, columns, error)
