"""`gradstore.import_gradients`: from files of another tool to a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradstore.interchange.reading import open_source
from gradstore.progress import Log, Progress, silent, unheard
from gradstore.records import CheckpointIdentity, ProjectionSpec

if TYPE_CHECKING:
    from gradstore.store import Dataset

__all__ = ["import_gradients"]


def import_gradients(
    path: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    name: str,
    fmt: str | None = None,
    key: str | None = None,
    ids: Sequence[str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    sources: Sequence[str] | None = None,
    subtasks: Sequence[str] | None = None,
    checkpoint: str | None = None,
    weight: float = 0.0,
    direction: str | None = None,
    target: bool = False,
    encoding: str = "exact",
    license: str | Mapping[str, str] | None = None,
    progress: Progress = silent,
    log: Log = unheard,
) -> Dataset:
    """Store vectors from files of another tool as a data set.

    All data sets under one checkpoint count as comparable: the files do not tell with which model and projection they
    were made, so keep those of another model under another checkpoint, and in another store. Rows of another
    length are refused.

    Parameters
    ----------
    path : path
        The store; created if there is none.
    source : path
        File or folder.
    name : str
        Name of the data set.
    fmt, key : str, optional
        See `open_source`.
    ids, rows, sources, subtasks : sequence, optional
        See `gradstore.import_arrays`; by default what the files tell.
    checkpoint : str, optional
        By default ``checkpoint-STEP`` if the files tell the step, else ``imported``.
    weight : float, optional
        Weight of the checkpoint, for selectors that use several (LESS: its mean learning rate). Kept with the
        checkpoint by the first import. Default: unknown, which is as much as the others on average.
    direction : str, optional
        By default what the files tell, else ``sgd`` for a target and ``adam`` for others.
    target : bool
        Whether these are target rows.
    encoding : str, default "exact"
    license : str or Mapping from source to str, optional
        See `gradstore.import_arrays`.
    progress, log : callable, optional
        ``progress(total, unit, label)`` gives a bar; ``log(line)`` hears what the files do not hold.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError, DataError, IncompatibleError, StoreWriteError
        See `open_source` and `gradstore.import_arrays`.
    """
    from gradstore.interchange import import_arrays

    opened = open_source(source, fmt=fmt, key=key)
    for note in opened.notes:
        log(f"{opened.path}: {note}")
    given = {"ids": ids, "rows": rows, "sources": sources, "subtasks": subtasks}
    columns: dict[str, Any] = {
        **opened.columns,
        **{column: values for column, values in given.items() if values is not None},
    }
    step = opened.step
    return import_arrays(
        path,
        name=name,
        gradients=opened.gradients,
        checkpoint=checkpoint or ("imported" if step is None else f"checkpoint-{step}"),
        direction=direction or opened.direction or ("sgd" if target else "adam"),
        identity=CheckpointIdentity(
            step=step or 0,
            weight=weight,
            projection=ProjectionSpec("external", opened.gradients.shape[1], 0),
        ),
        target=target,
        encoding=encoding,
        provenance={"file": opened.path.absolute().name, "format": opened.format},
        license=license,
        progress=progress,
        **columns,
    )
