"""Files of QLESS: all rows of a LESS folder in 8, 4, 2 or 1 bits, ``all_quantized_{b}bits_abs{max|mean}.pt``.

Source: ``quantize_gradients.py`` of mosesananta/QLESS, which packs with ``BitPack`` of hqq. A file holds the pair
(bytes, description). The codes of the flattened matrix plus an offset are packed so that the first 8/b-th of them
takes the highest bits of the bytes, the next the bits below, and so on. QLESS quantises rows of norm 1.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError
from gradstore.interchange.less import UNIT_NOTE, layout, matrix_folder
from gradstore.interchange.source import Source, check_kind, member, names_in, regular
from gradstore.interchange.tensors import map_value

__all__ = ["read_qless"]

_FILE = re.compile(r"all_quantized_\d+bits_abs(max|mean)\.pt", re.ASCII)


def read_qless(path: Path, key: str | None) -> Source:  # noqa: ARG001 (a Reader)
    """A packed file, or a folder that holds one of them."""
    folder = matrix_folder(path) if path.is_dir() else path.parent
    if path.is_dir():
        names = [name for name in names_in(folder) if _FILE.fullmatch(name)]
        if len(names) != 1:
            found = f"holds {', '.join(names)}; name one" if names else "holds no all_quantized_….pt"
            raise DataError(f"{folder}: {found}")
        file = member(folder, names[0])
    else:
        file = regular(path)
    step, direction = layout(folder)
    rows = _Packed(file)
    notes = [UNIT_NOTE]
    if rows.bits == 1:
        notes.append("1 bit cannot tell rows that were zero or not finite: they count as valid")
    return Source(rows, "qless", path, {}, step, direction, tuple(notes))


class _Packed:
    """Rows of a packed file, unpacked a slice at a time."""

    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, path: Path) -> None:
        value = map_value(path)
        if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[1], dict):
            raise DataError(f"{path}: holds no packed rows of QLESS")
        packed, about = value
        try:
            self.bits = int(about["nbits"])
            self.shape = tuple(int(size) for size in about["shape"])
            self._offset, self._scale = int(about["offset"]), float(about["scale_factor"])
            kind, codes = about["packing"], packed.numpy()
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise DataError(
                f"{path}: holds no packed rows of QLESS ({type(error).__name__}: {error})"
            ) from None
        check_kind(self.shape, self.dtype, path)
        most = 2 ** (self.bits - 1) - 1 if self.bits in (2, 4, 8) else 0
        known = self.bits in (1, 2, 4, 8) and kind == f"{self.bits}bit_u8" and 0 <= self._offset <= most
        if not known or not np.isfinite(self._scale) or self._scale <= 0:
            raise DataError(
                f"{path}: {self.bits} bits, packing {kind!r}, offset {self._offset}, scale {self._scale}: "
                "QLESS does not write that"
            )
        if (
            codes.dtype != np.uint8
            or codes.ndim != 1
            or codes.size * (8 // self.bits) != math.prod(self.shape)
        ):
            raise DataError(
                f"{path}: has {codes.shape} {codes.dtype} for {self.shape} codes of {self.bits} bits"
            )
        self._codes: npt.NDArray[np.uint8] = codes

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        codes = self._unpacked(start * self.shape[1], stop * self.shape[1]).reshape(-1, self.shape[1])
        numbers = codes.astype(np.float32)
        if self.bits == 1:
            return (2 * numbers - 1) * np.float32(self._scale)
        return (numbers - np.float32(self._offset)) / np.float32(self._scale)

    def _unpacked(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Codes `start` to `stop` of the flattened matrix."""
        out = np.empty(stop - start, np.uint8)
        size, fields = len(self._codes), 8 // self.bits
        for part in range(start // size, -(-stop // size)):
            lo, hi = max(start, part * size), min(stop, (part + 1) * size)
            piece = self._codes[lo - part * size : hi - part * size]
            out[lo - start : hi - start] = (piece >> ((fields - 1 - part) * self.bits)) & (2**self.bits - 1)
        return out
