"""How a float32 row is kept: one code for each number and, but for ``exact``, one scale for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.registry import unknown_name
from gradstore.store.packed import INT4_TABLE, SIGN_TABLE, int4, row_lengths, sign, slabs, unpack

__all__ = ["ENCODINGS", "Encoding", "encoding", "row_norms"]

Rows = npt.NDArray[np.float32]


def row_norms(rows: Rows) -> Rows:
    """Euclidean norm of each row, summed in float64; float32, shape (n,)."""
    with np.errstate(over="ignore"):
        return row_lengths(rows).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """One way to keep rows.

    Attributes
    ----------
    name : str
    dtype : str
        Type of the stored array.
    scaled : bool
        Whether each row has a scale, by which its codes are multiplied; only then is anything lost.
    encode : callable
        From finite float32 rows (n, k) to codes (n, `width` of k) and scales (n,) or None.
    table : ndarray of float32, shape (256, codes of a byte), optional
        What each byte stands for, if a byte holds several codes.
    """

    name: str
    dtype: str
    scaled: bool
    encode: Callable[[Rows], tuple[npt.NDArray[Any], Rows | None]]
    table: Rows | None = None

    def width(self, dim: int) -> int:
        """Length of the stored array's rows."""
        return dim if self.table is None else -(-dim // self.table.shape[1])

    def row_bytes(self, dim: int) -> int:
        """Bytes of an encoded row."""
        return self.width(dim) * np.dtype(self.dtype).itemsize

    def decode(self, codes: npt.NDArray[Any], scale: Rows | None, dim: int) -> Rows:
        """Rows (n, dim) in float32, never a view of `codes`."""
        if scale is None:
            return np.array(codes, dtype=np.float32)
        if self.table is not None:
            return unpack(self.table, codes, scale, dim)
        rows: Rows = np.multiply(codes, scale[:, None], dtype=np.float32)
        return rows


def _int8(rows: Rows) -> tuple[npt.NDArray[Any], Rows]:
    """Codes in [-127, 127], the scale is the row's largest magnitude / 127: error at most half a scale."""
    codes, scale = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
    for slab in slabs(*rows.shape):
        part = rows[slab]
        largest = np.maximum(part.max(axis=1), -part.min(axis=1))
        size = largest / np.float32(127)
        # A subnormal scale has few bits: rounded down, it could not reach the largest entry.
        subnormal = (size < np.finfo(np.float32).tiny) & (largest > 0)
        if subnormal.any():
            size = np.where(subnormal, np.nextafter(size, np.float32(1)), size)
        scale[slab] = size
        rounded = part / np.where(size > 0, size, np.float32(1))[:, None]
        codes[slab] = np.rint(rounded, out=rounded)
    return codes, scale


def _half(rows: Rows) -> tuple[npt.NDArray[Any], Rows]:
    """float16 codes of the unit row (gradients near 1e-6 would vanish); the scale restores the norm."""
    norms = row_lengths(rows)
    codes = (rows / np.where(norms > 0, norms, 1)[:, None]).astype(np.float16)
    kept = row_lengths(codes)
    return codes, (norms / np.where(kept > 0, kept, 1)).astype(np.float32)


def _exact(rows: Rows) -> tuple[npt.NDArray[Any], None]:
    """The float32 numbers themselves."""
    return rows, None


ENCODINGS = {
    kind.name: kind
    for kind in (
        Encoding("int8", "int8", True, _int8),
        Encoding("half", "float16", True, _half),
        Encoding("int4", "uint8", True, int4, INT4_TABLE),
        Encoding("sign", "uint8", True, sign, SIGN_TABLE),
        Encoding("exact", "float32", False, _exact),
    )
}


def encoding(name: str) -> Encoding:
    """Look up an encoding; `UsageError` if there is none of that name."""
    if name not in ENCODINGS:
        raise UsageError(unknown_name("encoding", name, ENCODINGS))
    return ENCODINGS[name]
