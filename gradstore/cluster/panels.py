"""Which rows a task holds in memory, and how."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gradstore.cluster.tasks import threads
from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Float, Vectors

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Held", "panel_rows", "panels"]

_MOST = 1 << 14
"""Rows of a panel at most: a worker that is killed loses the work of minutes, not of hours."""
_COPIES = 3
"""Copies of a panel that a task holds: two panels, and one of them as it is multiplied."""
_UNLIMITED = 4 << 30
"""Bytes that a thread may take if its worker does not say."""


class Held:
    """Nodes of which some ranges of rows are in memory.

    Parameters
    ----------
    nodes : Vectors
    *ranges : range
        Rows to read now; all others are read when asked for.
    """

    def __init__(self, nodes: Vectors, *ranges: range) -> None:
        self.dim, self.widths = nodes.dim, nodes.widths
        self._nodes = nodes
        self._held = [(rows, nodes.read(rows.start, rows.stop)) for rows in dict.fromkeys(ranges)]

    def __len__(self) -> int:
        return len(self._nodes)

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop`; those that are held are not copied."""
        for rows, vectors in self._held:
            if rows.start <= start and stop <= rows.stop:
                return vectors[start - rows.start : stop - rows.start]
        return self._nodes.read(start, stop)

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Rows `nodes` in any order."""
        wanted = np.asarray(nodes, np.int64)
        found = np.empty((len(wanted), self.dim), np.float32)
        missing = np.ones(len(wanted), bool)
        for rows, vectors in self._held:
            here = (wanted >= rows.start) & (wanted < rows.stop)
            found[here] = vectors[wanted[here] - rows.start]
            missing &= ~here
        if missing.any():
            found[missing] = self._nodes.take(wanted[missing])
        return found


def panels(nodes: Nodes, rows: int) -> list[range]:
    """All nodes in ranges of at most `rows`, cut where chunks of the store end, and inside those that are larger."""
    cuts: list[int] = []
    begin = 0
    for part in nodes.parts:
        ends = [chunk.stop for chunk in part.datasets[0].chunks]
        cuts += (begin + np.searchsorted(part.rows, ends)).tolist()  # ascending
        begin += len(part.rows)
    found = []
    start = 0
    while start < len(nodes):
        most = start + rows
        cut = cuts[bisect_right(cuts, most) - 1] if cuts[0] <= most else start
        stop = cut if cut > start else most
        found.append(range(start, stop))
        start = stop
    return found


def panel_rows(nodes: Nodes, client: Client) -> int:
    """Rows of a panel: a task takes half of a thread's share of its worker's memory, and every thread has work."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    shares = [each["memory_limit"] // each["nthreads"] for each in workers if each["memory_limit"]]
    memory = min(shares, default=_UNLIMITED)
    fitting = memory // 2 // (_COPIES * 4 * nodes.dim)
    # p panels make p² / 2 tasks: six for each thread keep all busy until near the end.
    each = -(-len(nodes) // max(1, int(np.sqrt(12 * threads(client)))))
    return int(max(1, min(_MOST, fitting, each)))
