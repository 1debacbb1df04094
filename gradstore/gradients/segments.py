"""A data file that has grown: stored rows stay where they are, the others become a data set that continues."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gradstore.data import DataFile
from gradstore.errors import IncompatibleError, IncompleteError, StoreNotFoundError
from gradstore.storage import open_folder
from gradstore.store import Dataset, open_store

__all__ = ["Segment", "segments"]

Segment = tuple[str, DataFile]
"""Name of a data set in the store, and its rows."""


def segments(path: str | Path, checkpoint: str, name: str, file: DataFile) -> list[Segment]:
    """The data sets that hold the rows of a file: usually one, called `name`.

    If the store has a finished data set of that name with some of the rows, the others belong to ``name.2``; if that is
    finished too and the file has grown again, to ``name.3``, and so on.

    Raises
    ------
    IncompatibleError
        If the finished data set holds rows that are not in the file, or under other ids.
    """
    found: list[Segment] = []
    left = np.arange(len(file.rows))
    for segment, stored in _finished(path, checkpoint, name):
        rows = _rows_of(stored, file, left)
        whole = file.subset(rows) if len(rows) < len(file.rows) else file
        if len(rows) < len(stored) or whole.digest != stored.content_digest:
            raise IncompatibleError(_conflict(path, segment, len(stored) - len(rows)))
        found.append((segment, whole))
        left = np.setdiff1d(left, rows)
    if len(left):
        rest = file.subset(left) if found else file
        found.append((f"{name}.{len(found) + 1}" if found else name, rest))
    return found


def _finished(path: str | Path, checkpoint: str, name: str) -> Iterator[tuple[str, Dataset]]:
    """The finished data sets of a name: itself and those that continue it."""
    try:
        store = open_store(path)
        for number in count(1):
            segment = f"{name}.{number}" if number > 1 else name
            yield segment, store.dataset(segment, checkpoint)
    except (StoreNotFoundError, IncompleteError):
        return


def _rows_of(stored: Dataset, file: DataFile, left: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the rows of a data set stand in the file, those that are there."""
    if stored.content_digest == file.digest:
        return left
    places = {file.ids[row]: row for row in left.tolist()}
    return np.array([places[name] for name in stored.ids if name in places], dtype=np.int64)


def _conflict(path: str | Path, segment: str, gone: int) -> str:
    what = f"{gone} rows that the file does not have" if gone else "rows of these ids with other contents"
    return (
        f"data set {segment!r} in {open_folder(path)} is finished and holds {what}:"
        " choose another name (what is stored never changes), or give a file that has all its rows"
    )
