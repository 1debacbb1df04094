"""Rows that stay in memory once they were read."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from gradstore.graph.vectors import Dense, Float, Vectors

__all__ = ["Cached", "cached"]


class Cached:
    """Rows that are kept once they were taken, while there is room.

    For whatever looks at the same rows again and again. Threads may share it.

    Parameters
    ----------
    rows : Vectors
    memory : int
        Bytes for rows that are kept.
    """

    def __init__(self, rows: Vectors, memory: int) -> None:
        self._rows = rows
        self.dim, self.widths = rows.dim, rows.widths
        self._place = np.full(len(rows), -1, np.int32)
        self._kept = np.empty((min(len(rows), memory // (4 * rows.dim)), rows.dim), np.float32)
        self._count = 0
        self._keeping = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop`; not kept."""
        return self._rows.read(start, stop)

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Some rows, in any order."""
        wanted = np.asarray(nodes, np.int64)
        places = self._place[wanted]
        if (places >= 0).all():
            return np.asarray(self._kept[places])
        missing = np.flatnonzero(places < 0)
        fresh = self._rows.take(wanted[missing])
        found = np.empty((len(wanted), self.dim), np.float32)
        found[places >= 0] = self._kept[places[places >= 0]]
        found[missing] = fresh
        self._keep(wanted[missing], fresh)
        return found

    def _keep(self, nodes: npt.NDArray[np.int64], rows: Float) -> None:
        with self._keeping:
            _, first = np.unique(nodes, return_index=True)
            first = np.sort(first[self._place[nodes[first]] < 0])[: len(self._kept) - self._count]
            places = np.arange(self._count, self._count + len(first))
            self._kept[places] = rows[first]
            self._place[nodes[first]] = places  # only now others find them
            self._count += len(first)


def cached(rows: Vectors, memory: int) -> Vectors:
    """`rows`, of which up to `memory` bytes are kept where they are not in memory anyhow."""
    return rows if isinstance(rows, Dense) else Cached(rows, memory)
