"""Columns of a sealed folder: numbers as one array, strings as UTF-8 bytes and int64 offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.store.arrays import ArraySpec, encode_chunk
from gradstore.store.layout import METADATA, group_document
from gradstore.store.manifest import Sealed
from gradstore.store.recorder import Recorder

__all__ = [
    "ArrayStream",
    "StringStream",
    "packed",
    "read_offsets",
    "read_spans",
    "read_strings",
    "utf8",
    "write_strings",
]

_STRING_CHUNK = 1 << 20
Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


class ArrayStream:
    """Writes an array whose values come piece by piece, a chunk at a time.

    Parameters
    ----------
    recorder : Recorder
    name : str
        Name of the array.
    dtype : str
    chunk : int
        Values of a chunk; an array that stays shorter is one chunk of its own length.
    compressed : bool
    tail : tuple of int
        Axes of a value, if it is more than a number.
    """

    def __init__(
        self,
        recorder: Recorder,
        name: str,
        dtype: str,
        chunk: int,
        compressed: bool = False,
        tail: tuple[int, ...] = (),
    ) -> None:
        self._recorder, self._name = recorder, name
        self._dtype, self._chunk, self._compressed, self._tail = dtype, chunk, compressed, tail
        self._pending: list[npt.NDArray[Any]] = []
        self._waiting = self._written = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add values; full chunks are published."""
        self._pending.append(values.copy())  # a view would keep the whole part that it was read from
        self._waiting += len(values)
        if self._waiting >= self._chunk:
            whole = np.concatenate(self._pending)
            full = len(whole) // self._chunk * self._chunk
            for start in range(0, full, self._chunk):
                self._put(whole[start : start + self._chunk], self._chunk)
            self._pending = [whole[full:].copy()]
            self._waiting = len(whole) - full

    def finish(self) -> None:
        """Publish the rest and the array's document."""
        chunk = self._chunk if self._written else max(1, self._waiting)
        if self._waiting:
            self._put(np.concatenate(self._pending), chunk)
        self._recorder.put(f"{self._name}/{METADATA}", self._spec(chunk).document())

    def _spec(self, chunk: int) -> ArraySpec:
        compression = "zstd" if self._compressed else "none"
        return ArraySpec((self._written, *self._tail), chunk, self._dtype, compression)

    def _put(self, values: npt.NDArray[Any], chunk: int) -> None:
        spec = self._spec(chunk)
        self._recorder.put(f"{self._name}/{spec.key(self._written // chunk)}", encode_chunk(spec, values))
        self._written += len(values)


class StringStream:
    """Writes a column of strings piece by piece: the arrays ``data`` and ``offsets`` in a group."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        recorder.put(f"{name}/{METADATA}", group_document())
        self._data = ArrayStream(recorder, f"{name}/data", "uint8", _STRING_CHUNK, compressed=True)
        self._offsets = ArrayStream(recorder, f"{name}/offsets", "int64", _STRING_CHUNK // 8, compressed=True)
        self._offsets.append(np.zeros(1, dtype=np.int64))
        self._total = 0

    def append(self, data: Bytes, offsets: Offsets) -> None:
        """Add strings as `packed` gives them."""
        self._data.append(data)
        self._offsets.append(offsets[1:] + self._total)
        self._total += len(data)

    def finish(self) -> None:
        """Publish the rest."""
        self._data.finish()
        self._offsets.finish()


def packed(values: Iterable[bytes]) -> tuple[Bytes, Offsets]:
    """Strings end to end, and where each begins; the last offset is the total."""
    parts = list(values)
    offsets = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), dtype=np.uint8), offsets


def utf8(values: Sequence[str], what: str) -> list[bytes]:
    """UTF-8 of each string; `UsageError` for what is no Unicode text."""
    try:
        return [value.encode() for value in values]
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} {error.object!r} is no valid Unicode text; remove the lone surrogate"
        ) from None
    except AttributeError:
        wrong = next(value for value in values if not isinstance(value, str))
        raise UsageError(f"{what} {wrong!r} is no string") from None


def write_strings(recorder: Recorder, name: str, values: Sequence[str]) -> None:
    """Publish a whole column of strings."""
    stream = StringStream(recorder, name)
    stream.append(*packed(utf8(values, name)))
    stream.finish()


def read_offsets(sealed: Sealed, name: str, rows: int | None = None) -> Offsets:
    """Offsets of a column of strings, checked to be ordered and to end with the data."""
    document = f"{name}/offsets/{METADATA}"
    spec, data = sealed.spec(f"{name}/offsets"), sealed.spec(f"{name}/data")
    if spec.dtype != "int64" or len(spec.shape) != 1 or not spec.shape[0]:
        raise sealed.damage(document, "describes no offsets")
    if data.dtype != "uint8" or len(data.shape) != 1 or max(data.chunk, 8 * spec.chunk) > _STRING_CHUNK:
        raise sealed.damage(f"{name}/data/{METADATA}", "describes no strings")
    if rows is not None and spec.shape[0] != rows + 1:  # known before anything is decoded
        raise sealed.damage(document, "does not fit its strings")
    offsets = sealed.array(f"{name}/offsets")
    if offsets[0] != 0 or offsets[-1] != data.shape[0] or (np.diff(offsets) < 0).any():
        raise sealed.damage(document, "does not fit its strings")
    return offsets


def read_strings(sealed: Sealed, name: str, rows: int | None = None) -> npt.NDArray[np.object_]:
    """A whole column of strings; equal strings are one object."""
    offsets = read_offsets(sealed, name, rows)
    data = sealed.array(f"{name}/data").tobytes()
    seen: dict[bytes, str] = {}
    strings = np.empty(len(offsets) - 1, dtype=object)
    try:
        for row, (start, stop) in enumerate(pairwise(offsets.tolist())):
            piece = data[start:stop]
            if piece not in seen:
                seen[piece] = piece.decode()
            strings[row] = seen[piece]
    except UnicodeDecodeError:
        raise sealed.damage(f"{name}/data", "is no UTF-8 text") from None
    return strings


def read_spans(sealed: Sealed, name: str, offsets: Offsets, rows: Sequence[int]) -> list[bytes]:
    """Strings of some rows, in order, decoding each chunk that holds one of them once."""
    array = f"{name}/data"
    spec = sealed.spec(array)
    found: dict[int, bytes] = {}
    held, data = -1, b""
    for row in sorted(set(rows)):
        start, stop = int(offsets[row]), int(offsets[row + 1])
        pieces = []
        while start < stop:
            index, begin = divmod(start, spec.chunk)
            if index != held:
                held, data = index, sealed.chunk(array, spec, index).tobytes()
            pieces.append(data[begin : begin + stop - start])
            start += len(pieces[-1])
        found[row] = b"".join(pieces)
    return [found[row] for row in rows]
