"""Parquet files with a column of vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError, UsageError
from gradstore.interchange.source import Source, regular, told_direction
from gradstore.registry import unknown_name

__all__ = ["MARK", "read_parquet"]

MARK = b"gradstore"
"""Key of the metadata of files that `gradstore.export` wrote."""

_BUFFER = 1 << 20
_BATCH_BYTES = 8 << 20


def read_parquet(path: Path, key: str | None) -> Source:
    """A column of lists of one length; a column ``id`` too, and our own other columns if we wrote the file."""
    import pyarrow as pa

    try:
        rows = _Vectors(regular(path), key)
        names = [name for name in _TEXTS if name in rows.names and (rows.ours or name == "id")]
        columns: dict[str, Any] = {_TEXTS[name]: rows.texts(name) for name in names}
        if rows.ours:
            columns |= {name: rows.figures(name, unknown) for name, unknown in _FIGURES.items()}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: no whole Parquet file ({_line(error)})") from None
    if "rows" in columns:
        columns["rows"] = _records(columns["rows"], path)
    told = {name: each for name, each in columns.items() if each is not None}
    return Source(rows, "parquet", path, told, direction=rows.direction)


_TEXTS = {"id": "ids", "source": "sources", "subtask": "subtasks", "record": "rows"}
_FIGURES = {"loss": np.float32(np.nan), "tokens": np.int32(0)}
"""What stands for an unknown one; it also tells the type."""


class _Vectors:
    """The column of vectors, read from front to back; going back begins anew. A missing vector is zero."""

    def __init__(self, path: Path, key: str | None) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._file = pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        schema = self._file.schema_arrow
        self.names = list(schema.names)
        about = (schema.metadata or {}).get(MARK)
        self.ours = about is not None
        self.direction = told_direction(_parsed(about))
        self._column = _column(schema, path, key)
        self._file_rows = self._file.metadata.num_rows
        kind = schema.field(self._column).type
        self.dtype: np.dtype[Any] = np.dtype(str(kind.value_type).replace("halffloat", "float16"))
        self._at, self._left = 0, np.empty((0, 0), self.dtype)
        self._batches: Iterator[npt.NDArray[Any]] = iter(())
        width = getattr(kind, "list_size", -1)
        self.shape = (self._file_rows, width if width > 0 else self._first_width())
        if 0 in self.shape:
            raise DataError(f"{path}: column {self._column!r} has no vectors")
        self._restart()

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        import pyarrow as pa

        start, stop, _ = rows.indices(self.shape[0])
        if start < self._at:
            self._restart()
        out = np.empty((max(stop - start, 0), self.shape[1]), self.dtype)
        try:
            while self._at < stop:
                if not len(self._left):
                    self._left = next(self._batches)
                skipped = min(max(start - self._at, 0), len(self._left))
                taken = self._left[skipped : skipped + stop - max(start, self._at)]
                begin = max(self._at, start) - start
                out[begin : begin + len(taken)] = taken
                self._left = self._left[skipped + len(taken) :]
                self._at += skipped + len(taken)
        except StopIteration:
            raise DataError(f"{self._path}: ends before row {stop}") from None
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged near row {self._at} ({_line(error)})") from None
        return out

    def texts(self, name: str) -> list[Any] | None:
        """A column as texts; None if it is all null."""
        found: list[Any] = []
        for batch in self._file.iter_batches(batch_size=1024, columns=[name]):
            found.extend(batch.column(0).to_pylist())
        if all(value is None for value in found):
            return None
        if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in found):
            raise DataError(f"{self._path}: column {name!r} must be texts or whole numbers, without gaps")
        return [str(value) for value in found]

    def figures(self, name: str, unknown: np.number[Any]) -> npt.NDArray[Any] | None:
        """A column of numbers; None if there is none."""
        import pyarrow as pa

        if name not in self.names:
            return None
        kind = pa.from_numpy_dtype(unknown.dtype)
        if self._file.schema_arrow.field(name).type != kind:
            raise DataError(f"{self._path}: column {name!r} must hold {kind}")
        batches = self._file.iter_batches(batch_size=65536, columns=[name])
        found = [batch.column(0).fill_null(unknown.item()).to_numpy() for batch in batches]
        return np.concatenate([np.empty(0, unknown.dtype), *found])

    def _restart(self) -> None:
        size = max(1, min(65536, _BATCH_BYTES // (self.shape[1] * self.dtype.itemsize)))
        batches = self._file.iter_batches(batch_size=size, columns=[self._column])
        self._batches = (self._dense(batch.column(0)) for batch in batches)
        self._at, self._left = 0, np.empty((0, self.shape[1]), self.dtype)

    def _first_width(self) -> int:
        for batch in self._file.iter_batches(batch_size=1, columns=[self._column]):
            value = batch.column(0)[0]
            if value.is_valid:
                return len(value)
        return 0

    def _dense(self, lists: Any) -> npt.NDArray[Any]:
        """A batch of lists as a matrix."""
        import pyarrow.compute as pc

        there = np.asarray(lists.is_valid().to_numpy(zero_copy_only=False), bool)
        lengths = pc.list_value_length(lists).drop_null()
        if len(lengths) and (pc.min(lengths).as_py(), pc.max(lengths).as_py()) != (self.shape[1],) * 2:
            raise DataError(f"{self._path}: column {self._column!r} holds vectors of different lengths")
        numbers = lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.shape[1])
        if there.all():
            return np.asarray(numbers, self.dtype)
        out = np.zeros((len(there), self.shape[1]), self.dtype)
        out[there] = numbers
        return out


def _column(schema: Any, path: Path, key: str | None) -> str:
    from pyarrow import types

    def is_vector(kind: Any) -> bool:
        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return bool(lists and types.is_floating(kind.value_type))

    known = [field.name for field in schema if is_vector(field.type)]
    if key is not None and key not in known:
        raise UsageError(f"{path}: {unknown_name('column of vectors', key, known)}")
    if key is None and len(known) != 1:
        found = f"has the columns of vectors {', '.join(known)}; name one with --key" if known else ""
        raise UsageError(f"{path}: {found or 'has no column of vectors (lists of floating-point numbers)'}")
    return key or known[0]


def _records(texts: list[Any] | None, path: Path) -> list[Any] | None:
    try:
        return None if texts is None else [json.loads(text) for text in texts]
    except ValueError as error:
        raise DataError(f"{path}: column 'record' holds no JSON ({error})") from None


def _parsed(about: bytes | None) -> Any:
    try:
        return json.loads(about or b"{}")
    except ValueError:
        return {}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
