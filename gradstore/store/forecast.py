"""How large a data set will be, and how much of it is there already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradstore.errors import IncompleteError, StoreNotFoundError
from gradstore.store.arrays import rows_per_chunk
from gradstore.store.encodings import encoding as encoding_named
from gradstore.store.layout import CHECKPOINTS
from gradstore.store.parts import finished
from gradstore.store.store import open_store

__all__ = ["Forecast", "forecast"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A data set before it is written.

    Attributes
    ----------
    bytes : int
        Size of its gradients once finished; columns and original rows add little.
    chunks, missing : int
        All chunks, and those that are not finished.
    """

    bytes: int
    chunks: int
    missing: int


def forecast(
    path: str | os.PathLike[str],
    *,
    checkpoint: str,
    name: str,
    rows: int,
    dim: int,
    directions: Sequence[str],
    encoding: str = "int8",
    chunk_rows: int | None = None,
) -> Forecast:
    """What `DatasetWriter.open` with the same arguments would begin or go on with; writes nothing."""
    row_bytes = dim * np.dtype(encoding_named(encoding).dtype).itemsize
    chunk = min(rows, chunk_rows or rows_per_chunk(rows, row_bytes))
    chunks = -(-rows // chunk)
    done = _done(path, checkpoint, name, chunks)
    return Forecast(len(directions) * chunks * chunk * row_bytes, chunks, chunks - done)


def _done(path: str | os.PathLike[str], checkpoint: str, name: str, chunks: int) -> int:
    try:
        store = open_store(path)
        store.dataset(name, checkpoint)
    except StoreNotFoundError:
        return 0
    except IncompleteError:
        return len(finished(store.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}")))
    return chunks
