"""The nearest, or the most contrary, other rows of every row, on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradstore.cluster.between import lists_between
from gradstore.cluster.panels import panel_rows, panels
from gradstore.cluster.recipe import Recipe
from gradstore.cluster.tasks import outcomes
from gradstore.errors import UsageError
from gradstore.graph.exact import Lists, Wanted
from gradstore.progress import Progress, silent

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_lists", "cluster_neighbours"]


def cluster_neighbours(
    recipe: Recipe, m: int, client: Client, progress: Progress = silent, *, panel: int | None = None
) -> Lists:
    """The m nearest other rows of every row, bit for bit as `exact_neighbours` gives them; see `cluster_lists`.

    Parameters
    ----------
    recipe : Recipe
        What is compared.
    m : int
        Neighbours of each row.
    client, progress, panel
        As for `cluster_lists`.

    Returns
    -------
    neighbours : ndarray of int32, shape (n, m)
    cosines : ndarray of float32, shape (n, m)
    """
    return cluster_lists(recipe, [Wanted(1, m)], client, progress, panel=panel)[0]


def cluster_lists(
    recipe: Recipe,
    wanted: Sequence[Wanted],
    client: Client,
    progress: Progress = silent,
    *,
    panel: int | None = None,
) -> list[Lists]:
    """The nearest, or the most contrary, other rows of every row, bit for bit as `exact_lists` gives them.

    A task compares two panels of rows and sends back the best of each row of one among the other. What comes back is
    merged at once, so the client holds the result (8 bytes for each neighbour of each row) and little more. The tasks
    of a worker that dies run again elsewhere.

    Parameters
    ----------
    recipe : Recipe
        Of the nodes.
    wanted : sequence of Wanted
        One list for each.
    client : Client
    progress : Progress, optional
        Counts finished pairs of panels.
    panel : int, optional
        Rows of a panel at most. Default: what fits into half of a worker's memory, up to 16,384, and fewer where
        workers would have nothing to do.

    Returns
    -------
    list of (neighbours, cosines)

    Raises
    ------
    UsageError
        If a number is below 1.
    GradstoreError
        What a worker raised, or if the cluster fails.
    """
    if min(one.m for one in wanted) < 1:
        raise UsageError(f"m is {min(one.m for one in wanted)}; each row needs at least 1 neighbour")
    if panel is not None and panel < 1:
        raise UsageError(f"panel is {panel}; a panel has at least 1 row")
    nodes = recipe.open()
    ranges = panels(nodes, panel or panel_rows(nodes, client))
    lists = [
        (np.full((len(nodes), one.m), -1, np.int32), np.zeros((len(nodes), one.m), np.float32))
        for one in wanted
    ]
    pairs = len(ranges) * (len(ranges) + 1) // 2
    with progress(pairs, "blocks", "exact neighbours") as bar:
        for (left, right), both in outcomes(client, lists_between, recipe, _pairs(ranges), list(wanted)):
            for rows, found in zip((left, right), both, strict=False):  # a panel with itself has one side
                place = slice(rows.start, rows.stop)
                for one, (indices, values), block in zip(wanted, lists, found, strict=True):
                    indices[place], values[place] = merged((indices[place], values[place]), block, one.sign)
            bar.update(1)
    return lists


def merged(one: Lists, other: Lists, sign: int = 1) -> Lists:
    """The m best of two lists for each row: by descending ``sign · cosine``, equal ones by index, missing ones last."""
    indices, values = (np.concatenate(pair, axis=1) for pair in zip(one, other, strict=True))
    order = np.lexsort((indices, -sign * values, indices < 0), axis=1)[:, : one[0].shape[1]]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(values, order, axis=1)


def _pairs(ranges: Sequence[range]) -> Iterator[tuple[range, range]]:
    for i, left in enumerate(ranges):
        for right in ranges[i:]:
            yield left, right
