"""A data file as rows with stable ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.data.files import Reading, read_records
from gradstore.data.formats import FORMATS, convert, detect
from gradstore.data.identity import content_hash, given_id, rows_digest
from gradstore.data.index import Ids, IndexBuilder
from gradstore.data.rows import Rows
from gradstore.data.sources import Spool
from gradstore.errors import DataError, UsageError
from gradstore.registry import unknown_name

__all__ = ["DataFile", "load_rows"]


@dataclass(frozen=True)
class DataFile:
    """The rows of one file; what they hold stays on disk.

    Attributes
    ----------
    rows : Rows
        A sequence of `gradstore.records.Row`, each read when it is asked for.
    fmt : str
        One of `FORMATS`.
    digest : str
        Digest of the ids and contents in order; the same whatever kind of file they come from.
    duplicates : int
        Rows whose content (the record without its id) repeats an earlier one.
    path : str
    detected : bool
        Whether the format was detected, not given.
    """

    rows: Rows
    fmt: str
    digest: str
    duplicates: int
    path: str
    detected: bool

    @property
    def ids(self) -> Ids:
        """Ids of the rows, a sequence of str."""
        return self.rows.table.ids

    @property
    def contents(self) -> npt.NDArray[np.uint8]:
        """Content hash of each row, shape (N, 12)."""
        return self.rows.table.contents

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each row as JSON, shape (N,)."""
        return self.rows.table.sizes

    def subset(self, indices: npt.ArrayLike) -> DataFile:
        """Some of the rows, in the order given and under the same ids.

        Parameters
        ----------
        indices : array-like of int
            Positions among the rows, or one truth value for each.

        Returns
        -------
        DataFile
            Its digest and duplicates are those of the chosen rows.
        """
        picked = np.asarray(indices)
        if not picked.size:
            picked = np.zeros(0, np.int64)
        rows = self.rows.take(np.arange(len(self.rows))[picked])
        return replace(
            self,
            rows=rows,
            digest=rows_digest(self.fmt, rows.table.ids, rows.table.contents),
            duplicates=rows.table.duplicates,
        )


def load_rows(path: str | Path, *, fmt: str | None = None, limit: int | None = None) -> DataFile:
    """Read a data file and check every row.

    Rows of plain JSON lines are then read again from the file itself, which must stay as it is; those of all
    other files from a temporary one (as large as their JSON text; its folder is that of ``TMPDIR``).

    Parameters
    ----------
    path : str or Path
        JSON lines or JSON (a list, or an object with a list ``data``), gzipped or not; Parquet; or a folder
        written by ``datasets.Dataset.save_to_disk``.
    fmt : str, optional
        One of `FORMATS`; by default told from the first row's fields.
    limit : int, optional
        Read only that many rows.

    Returns
    -------
    DataFile
        An id is the row's ``id`` field (text or whole number), else a hash of its content, which depends
        neither on the order of the rows nor on the kind of file. Rows equal to an earlier one get ``#2``,
        ``#3``, … appended.

    Raises
    ------
    DataError
        If the file is empty or broken, or a row does not have the format (with file and line); if it changes
        meanwhile; if the temporary folder is full.
    UsageError
        If there is no such format, or the limit is below 1.
    """
    if fmt is not None and fmt not in FORMATS:
        raise UsageError(unknown_name("format", fmt, FORMATS))
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be at least 1 row, not {limit}")
    path = Path(path)
    reading = read_records(path)
    form, rows = _index(reading, fmt, limit)
    return DataFile(
        rows=rows,
        fmt=form,
        digest=rows_digest(form, rows.table.ids, rows.table.contents),
        duplicates=rows.table.duplicates,
        path=str(path),
        detected=fmt is None,
    )


def _index(reading: Reading, fmt: str | None, limit: int | None) -> tuple[str, Rows]:
    """Read all rows once; the format that they have, and the rows."""
    spool, source = None, reading.source
    if source is None:
        spool = Spool(reading.path)
        source = spool.source
    builder = IndexBuilder()
    for number, record, data, start in islice(reading, limit):
        where = reading.where(number)
        fmt = fmt or detect(record, where)
        convert(record, fmt, where)
        content, given = content_hash(record, where), given_id(record, where)
        if spool is not None:
            data = data or _text(record)
            start = spool.append(data)
        builder.add(number, start, len(data), content, given)
    if fmt is None or not builder:
        raise DataError(f"{reading.path}: holds no rows; name a file with at least one")
    if spool is not None:
        spool.flush()
    source.check()
    return fmt, Rows(source, builder.finish(reading.where), reading.path, reading.unit)


def _text(record: Mapping[str, Any]) -> bytes:
    # What no row may hold was refused before, except in the name of a field that is null.
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
