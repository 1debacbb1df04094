"""Inner products of all rows with a few directions, on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstore.cluster.panels import panel_rows
from gradstore.cluster.recipe import Recipe
from gradstore.cluster.tasks import RETRIES, outcomes
from gradstore.errors import UsageError
from gradstore.graph.exact import TILE, tile
from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Float
from gradstore.progress import Progress, silent

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["cluster_project"]

_PIECE = 4 << 20
"""Bytes of the directions that travel in one message."""


def cluster_project(recipe: Recipe, directions: Float, client: Client, progress: Progress = silent) -> Float:
    """Inner products of all rows with `directions`, as `SelectionContext.project` gives them.

    Rows are multiplied in the same tiles, so the result is the same bit for bit where workers have processors and BLAS
    of the client's kind; elsewhere float32 may round differently.

    Parameters
    ----------
    recipe : Recipe
        Of the rows.
    directions : ndarray of float32, shape (n, dim)
    client : Client
    progress : Progress, optional
        Counts rows.

    Returns
    -------
    ndarray of float32, shape (N, n)

    Raises
    ------
    UsageError
        If the directions are of another length than the rows.
    GradstoreError
        What a worker raised, or if the cluster fails.
    """
    nodes = recipe.open()
    if directions.ndim != 2 or directions.shape[1] != nodes.dim:
        raise UsageError(f"directions of shape {directions.shape} for rows of {nodes.dim} numbers")
    count = len(nodes)
    found = np.empty((count, len(directions)), np.float32)
    # The pieces are tasks, not scattered data: where the worker that held them dies, the scheduler makes them again.
    rows = max(1, _PIECE // (4 * nodes.dim))
    pieces = [
        client.submit(_piece, np.ascontiguousarray(directions[i : i + rows]), pure=False, retries=RETRIES)
        for i in range(0, max(1, len(directions)), rows)
    ]
    size = max(1, panel_rows(nodes, client) // TILE) * TILE
    calls = ((start, min(start + size, count)) for start in range(0, count, size))
    with progress(count, "rows", "similarity") as bar:
        for (start, stop), block in outcomes(client, products, recipe, calls, pieces):
            found[start:stop] = block
            bar.update(stop - start)
    return found


def products(nodes: Nodes, start: int, stop: int, pieces: list[Float]) -> Float:
    """Inner products of the nodes from `start` to `stop` with the directions; a task. `start` begins a tile."""
    # Copied even if it is one: what came over the network need not be aligned, and is multiplied by another routine.
    directions = np.concatenate(pieces)
    found = np.empty((stop - start, len(directions)), np.float32)
    for first in range(start, stop, TILE):
        last = min(first + TILE, stop)
        found[first - start : last - start] = (tile(nodes.read(first, last)) @ directions.T)[: last - first]
    return found


def _piece(rows: Float) -> Float:
    return rows
