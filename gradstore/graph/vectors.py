"""What graphs are made of: unit rows that can be read, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Dense", "Float", "Vectors"]

Float = npt.NDArray[np.float32]


class Vectors(Protocol):
    """Unit rows to read, such as `gradstore.graph.Nodes`."""

    dim: int
    widths: tuple[int, ...]
    """Length of each checkpoint's part of a row; their sum is `dim`."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop`, shape (stop - start, dim)."""

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Rows `nodes` in any order, shape (n, dim)."""


class Dense:
    """Unit rows in memory.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, dim)
    widths : sequence of int, optional
        Default: rows of one checkpoint.
    """

    def __init__(self, rows: Float, widths: Sequence[int] | None = None) -> None:
        self.dim = rows.shape[1]
        self.widths = tuple(widths) if widths is not None else (self.dim,)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, start: int, stop: int) -> Float:
        """Rows `start` to `stop`; not a copy."""
        return self._rows[start:stop]

    def take(self, nodes: npt.ArrayLike) -> Float:
        """Rows `nodes` in any order."""
        return self._rows[np.asarray(nodes, np.int64)]
