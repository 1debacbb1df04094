"""Rows without what all of them share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy.typing as npt

from gradstore.graph.nodes import Nodes
from gradstore.graph.vectors import Float

__all__ = ["Centred"]


class Centred:
    """Unit rows less a mean, normalised again; `gradstore.graph.vectors.Vectors`.

    Each checkpoint's part for itself, so that it keeps its weight however much of it was shared.

    Parameters
    ----------
    nodes : Nodes
    mean : ndarray of float32, shape (dim,)
    """

    def __init__(self, nodes: Nodes, mean: Float) -> None:
        self._nodes = nodes
        self._mean = mean
        self.dim, self.widths = nodes.dim, nodes.widths

    def __len__(self) -> int:
        return len(self._nodes)

    def blocks(self) -> Iterator[tuple[int, Float]]:
        """Yield (first row, rows) over all rows."""
        for start, block in self._nodes.blocks():
            yield start, self._centre(block)

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop`."""
        return self._centre(self._nodes.read(start, stop))

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Some rows, in any order."""
        return self._centre(self._nodes.take(nodes))

    def _centre(self, block: Float) -> Float:
        block -= self._mean
        return self._nodes.unit(block)
