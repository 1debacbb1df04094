"""Rows that are read when they are asked for."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from gradstore.data.index import Index
from gradstore.data.sources import Source
from gradstore.records import Row

__all__ = ["Rows"]

_SUFFIXES = {".gz", ".jsonl", ".ndjson", ".json", ".parquet"}


class Rows(Sequence[Row]):
    """The rows of a file, which stay on disk: each is read and parsed anew when it is asked for.

    Any number of threads may read. A slice is a list of rows, so that what is used several times is parsed once.

    Parameters
    ----------
    source : Source
        Holds their JSON texts.
    index : Index
    path : Path
        The file they came from.
    unit : str
        What stands between the path and a row's number in messages.

    Attributes
    ----------
    table : Index
        What is known of the rows without reading them.
    """

    def __init__(self, source: Source, index: Index, path: Path, unit: str) -> None:
        self.table = index
        self._source, self._path, self._unit = source, path, unit
        self._stem = _stem(path)

    def __len__(self) -> int:
        return len(self.table.starts)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self._row(row) for row in range(*index.indices(len(self)))]
        return self._row(range(len(self))[operator.index(index)])

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, range(len(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self._path}>"

    def take(self, rows: npt.NDArray[np.int64]) -> Rows:
        """Some of the rows, still on disk."""
        return Rows(self._source, self.table.take(rows), self._path, self._unit)

    def _row(self, row: int) -> Row:
        index = self.table
        data = self._source.read(int(index.starts[row]), int(index.sizes[row]))
        record = json.loads(data.decode("utf-8", "surrogatepass"))
        subtask = record.get("subtask")
        return Row(
            id=index.ids[row],
            record=record,
            source=_source_of(record) or self._stem,
            subtask="" if subtask is None else str(subtask),
            where=f"{self._path}{self._unit}{index.numbers[row]}",
        )


def _source_of(record: Mapping[str, Any]) -> str:
    values = (record.get(field) for field in ("dataset", "source"))
    return next((value for value in values if isinstance(value, str) and value), "")


def _stem(path: Path) -> str:
    while path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    return path.name
