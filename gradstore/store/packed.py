"""Codes of less than a byte: a Lloyd–Max quantiser of four bits, and signs alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["INT4_TABLE", "LEVELS", "SIGN_TABLE", "int4", "row_lengths", "sign", "slabs", "unpack"]

Rows = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

LEVELS = (
    0.128395029851147,
    0.3880482994902902,
    0.6567591185324634,
    0.9423404564869614,
    1.2562311973471771,
    1.6180463860218826,
    2.0690172265313866,
    2.732589570995163,
)
"""Magnitudes of the 16 levels ±L that lose least of a standard Gaussian: each is the mean of the numbers nearest to it
(Lloyd 1957, Max 1960). They keep all but 0.95 % of the variance."""

_MAGNITUDES = np.array(LEVELS, np.float32)
_BOUNDS = (np.array(LEVELS[1:]) + np.array(LEVELS[:-1])) / 2
_NIBBLES = np.concatenate([_MAGNITUDES, -_MAGNITUDES])

INT4_TABLE: Rows = np.stack([np.tile(_NIBBLES, 16), np.repeat(_NIBBLES, 16)], axis=1)
"""Both levels of each byte, shape (256, 2): the code in the low four bits comes first."""

SIGN_TABLE: Rows = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"),
    np.float32(-1),
    np.float32(1),
)
"""The eight signs of each byte, shape (256, 8): the lowest bit comes first."""

_SLAB = 1 << 18
"""Numbers that are worked on at a time, so that what is in between stays in the cache."""


def row_lengths(rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Euclidean norm of each row in float64, shape (n,)."""
    squares = np.empty(len(rows))
    spans = list(slabs(*rows.shape))
    room = np.empty(
        (spans[0].stop if spans else 0, rows.shape[1])
    )  # fresh memory for each would cost more than the sums
    for slab in spans:
        wide = room[: len(rows[slab])]
        np.copyto(wide, rows[slab])
        squares[slab] = np.einsum("ij,ij->i", wide, wide)
    return np.sqrt(squares)


def int4(rows: Rows) -> tuple[Bytes, Rows]:
    """Nearest levels of the row divided by its root mean square; the scale is their best multiple (least squares)."""
    dim, width = rows.shape[1], -(-rows.shape[1] // 2)
    codes = np.empty((len(rows), width), np.uint8)
    scale = np.empty(len(rows), np.float32)
    for slab in slabs(*rows.shape):
        sizes = np.abs(rows[slab])
        spread = row_lengths(sizes) / np.sqrt(dim)
        pairs = np.zeros((len(sizes), 2 * width), np.uint8)
        picks = pairs[:, :dim]
        for bound in _BOUNDS:
            picks += sizes > (spread * bound).astype(np.float32)[:, None]
        levels = _MAGNITUDES[picks]
        best = np.einsum("ij,ij->i", sizes, levels, dtype=np.float64) / np.square(row_lengths(levels))
        scale[slab] = _scales(best)
        picks |= (rows[slab] < 0).view(np.uint8) << 3
        codes[slab] = pairs[:, ::2] | pairs[:, 1::2] << 4
    return codes, scale


def sign(rows: Rows) -> tuple[Bytes, Rows]:
    """Whether each number is negative; the scale keeps the norm of the row."""
    scale = _scales(row_lengths(rows) / np.sqrt(rows.shape[1]))
    return np.packbits(rows < 0, axis=1, bitorder="little"), scale


def unpack(table: Rows, codes: Bytes, scale: Rows, dim: int) -> Rows:
    """Rows (n, dim) of packed codes: what `table` has for each byte, times the row's scale."""
    rows = np.empty((len(codes), dim), np.float32)
    for slab in slabs(len(codes), codes.shape[1] * table.shape[1]):
        levels = np.take(table, codes[slab], axis=0).reshape(-1, codes.shape[1] * table.shape[1])
        np.multiply(levels[:, :dim], scale[slab, None], out=rows[slab])
    return rows


def slabs(rows: int, numbers: int) -> Iterator[slice]:
    """Rows in slices of what the processor's cache holds."""
    step = max(1, _SLAB // max(1, numbers))
    for start in range(0, rows, step):
        yield slice(start, start + step)


def _scales(values: npt.NDArray[np.float64]) -> Rows:
    """In float32, where they neither vanish nor overflow: a row that is not zero stays so."""
    limits = np.finfo(np.float32)
    return np.where(values > 0, np.clip(values, limits.smallest_subnormal, limits.max), 0).astype(np.float32)
