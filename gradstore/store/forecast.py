"""How large a data set will be, and how much of it is there already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gradstore.errors import StoreNotFoundError
from gradstore.storage import open_folder
from gradstore.store.begin import join
from gradstore.store.folder import DatasetFolder
from gradstore.store.layout import CHECKPOINTS
from gradstore.store.settings import wanted
from gradstore.store.store import open_store

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A data set before it is written, in some directions.

    Attributes
    ----------
    bytes : int
        Size of the gradients in these directions once finished; columns and original rows add little.
    chunks : int
        All chunks.
    chunk_rows : int
        Rows of a chunk.
    missing : list of int
        Chunks with something to do.
    """

    bytes: int
    chunks: int
    chunk_rows: int
    missing: list[int]


def forecast(
    path: str | os.PathLike[str],
    *,
    checkpoint: str,
    name: str,
    rows: int,
    directions: Mapping[str, int],
    encoding: str = "int8",
    chunk_rows: int | None = None,
) -> Forecast:
    """What `DatasetWriter.open` with the same arguments would begin or go on with; writes nothing.

    Raises
    ------
    UsageError, IncompatibleError
        As `DatasetWriter.open`.
    """
    settings, vectors = wanted(rows=rows, directions=directions, encoding=encoding, chunk_rows=chunk_rows)
    stored = _stored(path, checkpoint, name)
    if stored is not None:
        theirs = stored.settings  # content and attributes are not known yet
        settings = join(
            stored,
            replace(settings, content_digest=theirs.content_digest, attributes=theirs.attributes),
            vectors,
            any_chunk_rows=chunk_rows is None,
            what=f"data set {name!r} of {checkpoint!r} in {open_folder(path)}",
        )
    chunks = len(settings.chunks)
    size = chunks * settings.chunk_rows * sum(each.row_bytes for each in vectors.values())
    missing = list(range(chunks)) if stored is None else stored.missing(vectors)
    return Forecast(size, chunks, settings.chunk_rows, missing)


def _stored(path: str | os.PathLike[str], checkpoint: str, name: str) -> DatasetFolder | None:
    try:
        store = open_store(path)
        known = store.datasets(checkpoint)
    except StoreNotFoundError:
        return None
    return DatasetFolder.read(store.at(f"{CHECKPOINTS}/{checkpoint}/{name}")) if name in known else None
