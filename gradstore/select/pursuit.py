"""Orthogonal matching pursuit: few rows whose weighted sum is near a given vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["pursue"]

Numbers = npt.NDArray[np.float64]
_NOTHING = 1e-10


def pursue(products: Callable[[int], Numbers], towards: Numbers, count: int) -> tuple[list[int], Numbers]:
    """Greedily choose rows a_i to approximate a vector b by ``Σ w_i a_i`` (least squares over the chosen ones).

    Parameters
    ----------
    products : callable
        Inner products of all n rows with one of them.
    towards : ndarray, shape (n,)
        Inner products of the rows with b.
    count : int
        Most rows to choose.

    Returns
    -------
    chosen : list of int
        In the order in which they were chosen; each has the largest inner product with what the ones before leave
        of b, the first of equal ones. Fewer than `count` where nothing positive is left.
    weights : ndarray, shape (len(chosen),)
    """
    chosen: list[int] = []
    factor = np.zeros((count, count))  # Cholesky: inner products of the chosen ones are L Lᵀ
    half = np.zeros(count)  # L⁻¹ of their products with b
    columns = np.zeros((len(towards), count))  # products of all rows with the chosen ones, times L⁻ᵀ
    left = towards.astype(np.float64)
    while len(chosen) < count and left.size:
        best, place = int(left.argmax()), len(chosen)
        if left[best] <= _NOTHING:
            break
        along = products(best)
        row = columns[best, :place]
        rest = along[best] - row @ row
        if rest <= _NOTHING * along[best]:  # a combination of those chosen
            left[best] = -np.inf
            continue
        diagonal = np.sqrt(rest)
        factor[place, :place], factor[place, place] = row, diagonal
        half[place] = left[best] / diagonal
        columns[:, place] = (along - columns[:, :place] @ row) / diagonal
        left -= columns[:, place] * half[place]
        left[best] = -np.inf
        chosen.append(best)
    size = len(chosen)
    return chosen, np.asarray(np.linalg.solve(factor[:size, :size].T, half[:size]))
