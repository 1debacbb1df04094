"""`gradstore.export`: from a data set to files of another tool."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gradstore.errors import UsageError
from gradstore.progress import Bar, Progress, silent
from gradstore.registry import unknown_name

if TYPE_CHECKING:
    from gradstore.store import Dataset, Store

__all__ = ["EXPORTS", "Exported", "export"]

_WRITERS = {
    "less": "less_files:write_less",
    "npy": "npy_files:write_npy",
    "parquet": "columns_file:write_parquet",
}
EXPORTS = tuple(_WRITERS)
"""Formats that can be exported."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    path : Path
        The file or folder.
    format, checkpoint, dataset, direction : str
    rows, dim : int
    """

    path: Path
    format: str
    checkpoint: str
    dataset: str
    direction: str
    rows: int
    dim: int


def export(
    store: Store | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dataset: str,
    fmt: str,
    checkpoint: str | None = None,
    direction: str | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write the vectors of a data set to files that other tools read.

    Numbers are float32, as the store decodes them. Invalid rows are written as zeros, so that a row keeps its number.
    What is written appears when it is complete; nothing is overwritten. At most some MiB are in memory.

    Parameters
    ----------
    store : Store or path
    out : path
        ``less``: the folder around the runs, in which ``{name}-ckpt{step}-{direction}/dim{K}`` is made.
        ``npy``: a folder for ``gradients.npy``, ``ids.txt`` and ``meta.json``. ``parquet``: a file.
    dataset : str
    fmt : {"less", "npy", "parquet"}
    checkpoint : str, optional
        Needed only where several checkpoints hold the data set.
    direction : str, optional
        Needed only where the data set has several.
    progress : Progress, optional
        ``progress(total, unit, label)`` gives a bar.

    Returns
    -------
    Exported

    Raises
    ------
    UsageError
        If there is no such format or direction, or something is at the place to be written.
    StoreNotFoundError, IncompleteError, CorruptError
        See `gradstore.Store.dataset`.
    StoreWriteError
        If the system refuses to write; nothing is left behind.
    """
    from gradstore.store import open_store

    if fmt not in EXPORTS:
        raise UsageError(unknown_name("format", fmt, EXPORTS))
    opened = open_store(store) if isinstance(store, str | os.PathLike) else store
    source = opened.dataset(dataset, checkpoint)
    chosen = direction or _only(source)
    module, name = _WRITERS[fmt].split(":")
    write: Callable[[Dataset, str, Path, Bar], Path] = getattr(
        import_module(f"gradstore.interchange.{module}"), name
    )
    dim = source.dim(chosen)
    with progress(len(source), "rows", f"export {dataset}") as bar:
        path = write(source, chosen, Path(out), bar)
    return Exported(path, fmt, source.checkpoint, dataset, chosen, len(source), dim)


def _only(dataset: Dataset) -> str:
    if len(dataset.directions) > 1:
        raise UsageError(
            f"data set {dataset.name!r} is kept in several directions, name one: {', '.join(dataset.directions)}"
        )
    return dataset.directions[0]
