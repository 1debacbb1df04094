"""How well the encoded rows keep the order of scores: measured by the writer, recorded in the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fidelity", "sampled", "spearman", "top_share"]

_SAMPLE = 256
_DIGITS = 4
_STEP = 2.0**-40

Scores = npt.NDArray[np.float64]


def spearman(true: npt.NDArray[Any], kept: npt.NDArray[Any]) -> float | None:
    """Correlation of the ranks of two lists of scores; None where all of one are equal."""
    true, kept = (ranks - ranks.mean() for ranks in map(_ranks, (true, kept)))
    spread = np.sqrt((true @ true) * (kept @ kept))
    return float(true @ kept / spread) if spread else None


def top_share(true: npt.NDArray[Any], kept: npt.NDArray[Any]) -> float:
    """Share of the best 1 % of the scores that is among the best of `kept` too.

    At least one counts as the best; of equal scores the first do.
    """
    count = max(1, -(-len(true) // 100))
    best, found = (np.argsort(-scores, kind="stable")[:count] for scores in (true, kept))
    return len(np.intersect1d(best, found)) / count


def _ranks(values: npt.NDArray[Any]) -> Scores:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def _pair_cosines(rows: npt.NDArray[np.float32]) -> Scores:
    """Cosines of all pairs in order, to a step of 2⁻⁴⁰: equal ones are equal however a machine sums."""
    wide = rows.astype(np.float64)
    products = wide @ wide.T
    lengths = np.sqrt(products.diagonal())
    lengths[lengths == 0] = 1
    cosines = products / lengths / lengths[:, None]
    return np.rint(cosines[np.triu_indices(len(rows), k=1)] / _STEP) * _STEP


def sampled(valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The rows of a chunk that are compared: no others need to be decoded for it."""
    return np.flatnonzero(valid)[:_SAMPLE]


def fidelity(
    rows: npt.NDArray[np.float32], decoded: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
) -> dict[str, Any] | None:
    """How well the pairwise cosines of `decoded` rows keep the order of those of the true `rows`.

    Parameters
    ----------
    rows, decoded : ndarray of float32, shape (n, k)
        Only the first 256 valid ones are compared.
    valid : ndarray of bool, shape (n,)

    Returns
    -------
    dict or None
        ``spearman``, their rank correlation; ``top1``, the share of the nearest 1 % of pairs that is among the nearest
        1 % of decoded pairs (both to four digits, so that they do not depend on the machine); and ``rows``. None where
        fewer than three rows or equal scores leave nothing to order.
    """
    sample = sampled(valid)
    if len(sample) < 3:
        return None
    true, kept = (_pair_cosines(matrix[sample]) for matrix in (rows, decoded))
    order = spearman(true, kept)
    if order is None:
        return None
    return {
        "spearman": round(order, _DIGITS),
        "top1": round(top_share(true, kept), _DIGITS),
        "rows": len(sample),
    }
