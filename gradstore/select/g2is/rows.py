"""The rows that a walk reads: in memory where they fit, else wherever they are."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.graph.exact import TILE, tile
from gradstore.graph.vectors import Dense, Float, Vectors

__all__ = ["as_vectors", "project", "repeated_rows", "unit_rows"]

_BEGINNING = 64
"""Numbers by which nearly all rows can be told apart."""


def as_vectors(rows: npt.ArrayLike | Vectors, what: str) -> Vectors:
    """`rows` themselves if they can be read as unit rows, else a matrix of them, normalised if need be."""
    if hasattr(rows, "widths"):  # no array has them
        return cast("Vectors", rows)
    return Dense(unit_rows(rows, what))


def project(rows: Vectors, directions: Float) -> Float:
    """Inner products of all rows with `directions`, shape (N, n); equal rows have equal ones wherever they are."""
    found = np.empty((len(rows), len(directions)), np.float32)
    for start in range(0, len(rows), TILE):
        stop = min(start + TILE, len(rows))
        found[start:stop] = (tile(rows.read(start, stop)) @ directions.T)[: stop - start]
    return found


def repeated_rows(rows: Vectors) -> npt.NDArray[np.bool_]:
    """Whether each row is a bit-for-bit copy of an earlier one; those whose beginnings are equal are read again."""
    keys = np.empty((len(rows), 2), np.uint64)
    for start in range(0, len(rows), TILE):
        block = rows.read(start, min(start + TILE, len(rows)))
        keys[start : start + TILE] = _digests(block[:, :_BEGINNING])
    order, equal = _sorted(keys)
    alike = np.sort(order[equal | np.append(equal[1:], False)])
    for start in range(0, len(alike), TILE):
        some = alike[start : start + TILE]
        keys[some] = _digests(rows.take(some))
    order, equal = _sorted(keys[alike])
    copies = np.zeros(len(rows), bool)
    copies[alike[order[equal]]] = True
    return copies


def _digests(block: Float) -> npt.NDArray[np.uint64]:
    """First 16 bytes of the SHA-256 of each row, shape (n, 2)."""
    found = b"".join(hashlib.sha256(row).digest()[:16] for row in np.ascontiguousarray(block))
    return np.frombuffer(found, np.uint64).reshape(-1, 2)


def _sorted(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Order in which equal keys stand together, the earliest first, and whether each equals the one before."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    equal = np.zeros(len(keys), bool)
    equal[1:] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    return order, equal


def unit_rows(rows: npt.ArrayLike, what: str) -> Float:
    """`rows` as float32 rows of norm 1; the same array, not a copy, if they are that already.

    Raises
    ------
    UsageError
        If they are no matrix, or a row is zero or not finite.
    """
    given: npt.NDArray[Any] = np.asarray(rows, np.float32)
    if given.ndim != 2 or not given.size:
        raise UsageError(f"{what} must be a matrix with one row each, not an array of shape {given.shape}")
    norms = np.sqrt(np.einsum("ij,ij->i", given, given))
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise UsageError(f"row {bad} of {what} is zero or not finite and has no direction; leave it out")
    if np.abs(norms - 1).max() < 1e-5:
        return given
    unit = np.empty_like(given)
    for start in range(0, len(given), TILE):
        block = slice(start, start + TILE)
        unit[block] = given[block] / norms[block, None]
    return unit
