"""A data file as rows with stable ids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gradstore.data.files import Located, read_records
from gradstore.data.formats import FORMATS, convert, detect
from gradstore.data.identity import content_hash, given_id, unique_ids
from gradstore.errors import DataError, UsageError
from gradstore.records import Row, digest
from gradstore.registry import unknown_name

__all__ = ["DataFile", "load_rows"]

_SUFFIXES = {".gz", ".jsonl", ".ndjson", ".json", ".parquet"}


@dataclass(frozen=True)
class DataFile:
    """The rows of one file.

    Attributes
    ----------
    rows : list of Row
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

    rows: list[Row]
    fmt: str
    digest: str
    duplicates: int
    path: str
    detected: bool


def load_rows(path: str | Path, *, fmt: str | None = None, limit: int | None = None) -> DataFile:
    """Read a data file and check every row.

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
        If the file is empty or broken, or a row does not have the format; with file and line.
    UsageError
        If there is no such format, or the limit is below 1.
    """
    if fmt is not None and fmt not in FORMATS:
        raise UsageError(unknown_name("format", fmt, FORMATS))
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be at least 1 row, not {limit}")
    path = Path(path)
    located = list(islice(read_records(path), limit))
    if not located:
        raise DataError(f"{path}: holds no rows; name a file with at least one")
    form = fmt or detect(located[0][1], located[0][0])
    for where, record in located:
        convert(record, form, where)
    hashes = [content_hash(record, where) for where, record in located]
    bases = [
        given_id(record, where) or hashed for (where, record), hashed in zip(located, hashes, strict=True)
    ]
    ids = unique_ids(bases, hashes, [where for where, _ in located])
    stem = _stem(path)
    return DataFile(
        rows=[_row(name, place, stem) for name, place in zip(ids, located, strict=True)],
        fmt=form,
        digest=digest(
            form.encode(), *(part.encode() for pair in zip(ids, hashes, strict=True) for part in pair)
        ),
        duplicates=len(hashes) - len(set(hashes)),
        path=str(path),
        detected=fmt is None,
    )


def _row(name: str, located: Located, stem: str) -> Row:
    where, record = located
    sources = (record.get(field) for field in ("dataset", "source"))
    source = next((value for value in sources if isinstance(value, str) and value), stem)
    subtask = record.get("subtask")
    return Row(name, record, source, "" if subtask is None else str(subtask), where)


def _stem(path: Path) -> str:
    while path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    return path.name
