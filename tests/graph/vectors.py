"""Rows to build graphs of, and the slow obvious answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gradstore.graph.vectors import Dense, Float


def unit(rows: npt.NDArray[np.floating]) -> Float:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(n: int, dim: int, seed: int = 0) -> Float:
    return unit(np.random.default_rng(seed).standard_normal((n, dim)))


def clustered(n: int, dim: int, seed: int = 0) -> Float:
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((20, dim))[rng.integers(20, size=n)] + rng.standard_normal((n, dim)))


def as_stored(rows: Float) -> Float:
    """Rows that come from 8-bit codes."""
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    return unit(np.rint(rows / scale) * scale)


def sorted_all(rows: Float, m: int, sign: int = 1) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Everything compared with everything in float64, and sorted; at most n - 1 columns."""
    cosines = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.fill_diagonal(cosines, -sign * np.inf)
    order = np.argsort(-sign * cosines, axis=1, kind="stable")[:, : min(m, len(rows) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)


def dense(rows: Float) -> Dense:
    return Dense(rows)
