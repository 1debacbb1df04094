"""Brings vectors made elsewhere into a store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import CheckpointIdentity, GradientBlock, ProjectionSpec, content_hash, digest
from gradstore.store.columns import utf8
from gradstore.store.dataset import Dataset
from gradstore.store.writer import DatasetWriter

__all__ = ["import_arrays"]

_BLOCK_BYTES = 64 << 20


def import_arrays(
    path: str | os.PathLike[str],
    *,
    name: str,
    gradients: npt.NDArray[Any],
    ids: Sequence[str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    checkpoint: str = "imported",
    direction: str = "sgd",
    identity: CheckpointIdentity | None = None,
    target: bool = False,
    encoding: str = "exact",
    sources: Sequence[str] | None = None,
    subtasks: Sequence[str] | None = None,
) -> Dataset:
    """Store vectors made elsewhere as a data set.

    Parameters
    ----------
    path : path
        The store; created if there is none.
    name : str
        Name of the data set.
    gradients : ndarray or memmap of real numbers, shape (N, k)
        Read a chunk at a time, converted to float32. Rows that are not finite or all zero become invalid.
    ids : sequence of str, optional
        By default ``NAME-0``, ``NAME-1``, …
    rows : sequence of Mapping, optional
        Original records, kept as JSON.
    checkpoint, direction : str
        Where to put them.
    identity : CheckpointIdentity, optional
        What they were made with; by default an external projection to k numbers.
    target : bool
        Whether these are target rows.
    encoding : {"exact", "int8", "half"}
    sources, subtasks : sequence of str, optional
        By default the name of the data set, and nothing.

    Returns
    -------
    Dataset

    Raises
    ------
    UsageError
        For a wrong shape or type, repeated ids or lengths that differ.
    IncompatibleError
        If the store holds other content under that name, or the checkpoint has another identity.
    StoreWriteError
        If the store cannot be written.
    """
    if gradients.ndim != 2 or gradients.dtype.kind not in "fiu" or 0 in gradients.shape:
        raise UsageError(
            f"gradients are a matrix of real numbers (rows, numbers a row), not {gradients.dtype} {gradients.shape}"
        )
    count, dim = gradients.shape
    columns = _columns(name, count, ids, sources, subtasks, rows)
    identity = identity or CheckpointIdentity(projection=ProjectionSpec("external", dim, 0))
    if identity.projection.dim != dim:
        raise UsageError(
            f"gradients have {dim} numbers a row, the identity's projection {identity.projection.dim}"
        )
    with DatasetWriter.open(
        path,
        checkpoint=checkpoint,
        identity=identity,
        name=name,
        rows=count,
        directions={direction: dim},
        encoding=encoding,
        content_digest=_content_digest(gradients, columns),
        attributes={"target": target, "format": "imported"},
    ) as writer:
        for chunk in writer.missing():
            span = writer.chunks[chunk]
            writer.write(chunk, _block(gradients[span.start : span.stop], columns, span, direction))
        return writer.seal()


def _columns(
    name: str,
    count: int,
    ids: Sequence[str] | None,
    sources: Sequence[str] | None,
    subtasks: Sequence[str] | None,
    rows: Sequence[Mapping[str, Any]] | None,
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "ids": [f"{name}-{row}" for row in range(count)] if ids is None else list(map(str, ids)),
        "sources": [name] * count if sources is None else list(sources),
        "subtasks": [""] * count if subtasks is None else list(subtasks),
        "records": [b""] * count if rows is None else _records(rows),
    }
    columns["contents"] = _contents(columns["ids"], rows)
    for what, values in columns.items():
        if len(values) != count:
            raise UsageError(f"there are {count} gradients but {len(values)} {what}")
    if len(set(columns["ids"])) != count:
        seen: set[str] = set()
        twice = next(each for each in columns["ids"] if each in seen or seen.add(each))  # type: ignore[func-returns-value]
        raise UsageError(f"id {twice!r} is given twice: ids must be unique in a data set")
    return columns


def _records(rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    try:
        return [json.dumps(dict(row)).encode() for row in rows]
    except (TypeError, ValueError) as error:
        raise UsageError(f"a row cannot be written as JSON: {error}") from None


def _contents(ids: Sequence[str], rows: Sequence[Mapping[str, Any]] | None) -> list[bytes]:
    """Hash of each row's content; where there is only an id, of that."""
    names = utf8(ids, "id")
    if rows is None:
        return [bytes.fromhex(digest(name)[:24]) for name in names]
    try:  # JSON can hold text that is no valid Unicode
        return [bytes.fromhex(content_hash(row, "surrogatepass")) for row in rows]
    except TypeError as error:
        raise UsageError(f"a row cannot be written as JSON: {error}") from None


def _content_digest(gradients: npt.NDArray[Any], columns: Mapping[str, Sequence[Any]]) -> str:
    """Digest of numbers and columns, read in pieces."""
    state = hashlib.sha256(f"{gradients.dtype.str} {gradients.shape}".encode())
    step = max(1, _BLOCK_BYTES // (gradients.shape[1] * gradients.itemsize))
    for start in range(0, len(gradients), step):
        state.update(np.ascontiguousarray(gradients[start : start + step]).tobytes())
    texts = [json.dumps(columns[each]).encode() for each in ("ids", "sources", "subtasks")]
    return digest(state.digest(), *texts, *columns["records"])


def _block(
    gradients: npt.NDArray[Any], columns: Mapping[str, list[Any]], span: range, direction: str
) -> GradientBlock:
    with np.errstate(over="ignore"):
        numbers = np.asarray(gradients, dtype=np.float32)
    finite = np.isfinite(numbers).all(axis=1)
    valid = finite & (numbers != 0).any(axis=1)
    reasons = np.where(valid, "", np.where(finite, "zero gradient", "non-finite gradient"))
    part = {name: values[span.start : span.stop] for name, values in columns.items()}
    return GradientBlock(
        ids=part["ids"],
        sources=part["sources"],
        subtasks=part["subtasks"],
        reasons=reasons.tolist(),
        records=part["records"],
        loss=np.full(len(numbers), np.nan, dtype=np.float32),
        tokens=np.zeros(len(numbers), dtype=np.int32),
        valid=valid,
        truncated=np.zeros(len(numbers), dtype=np.bool_),
        contents=np.frombuffer(b"".join(part["contents"]), dtype=np.uint8).reshape(len(numbers), -1),
        gradients={direction: numbers},
    )
