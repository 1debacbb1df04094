"""How well the encoded rows keep the order of scores: measured by the writer, recorded in the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fidelity"]

_SAMPLE = 256


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def _pair_cosines(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    unit = rows.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return (unit @ unit.T)[np.triu_indices(len(rows), k=1)]


def fidelity(
    rows: npt.NDArray[np.float32], decoded: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
) -> dict[str, Any] | None:
    """Spearman correlation of the pairwise cosines of `decoded` rows with those of the true `rows`.

    Parameters
    ----------
    rows, decoded : ndarray of float32, shape (n, k)
        Only the first 256 valid ones are compared.
    valid : ndarray of bool, shape (n,)

    Returns
    -------
    dict or None
        ``spearman`` (four digits, so that it does not depend on the machine) and ``rows``; None where fewer
        than three rows or equal scores leave nothing to order.
    """
    sample = np.flatnonzero(valid)[:_SAMPLE]
    if len(sample) < 3:
        return None
    true, kept = (_ranks(_pair_cosines(matrix[sample])) for matrix in (rows, decoded))
    true -= true.mean()
    kept -= kept.mean()
    spread = np.sqrt((true @ true) * (kept @ kept))
    if spread == 0:
        return None
    return {"spearman": round(float(true @ kept / spread), 4), "rows": len(sample)}
