"""Inner products that depend on their two rows alone: not on other rows, threads or BLAS."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["row_dots"]

_WIDTH = 8192
"""NumPy sums longer rows in an order that depends on how many there are: its iterator has a buffer of this size."""
_Number = TypeVar("_Number", np.float32, np.float64)


def row_dots(left: npt.NDArray[_Number], right: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Inner product of each row of `left` with that of `right`, or with `right` itself if it is a single row.

    Parameters
    ----------
    left : ndarray, shape (n, dim)
    right : ndarray, shape (n, dim) or (dim,)

    Returns
    -------
    ndarray, shape (n,)
        In the precision of the rows.
    """
    how = "ij,j->i" if right.ndim == 1 else "ij,ij->i"
    found = np.zeros(len(left), left.dtype)
    for start in range(0, left.shape[1], _WIDTH):
        columns = slice(start, start + _WIDTH)
        found += np.einsum(how, left[:, columns], right[..., columns])
    return found
