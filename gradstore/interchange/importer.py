"""Brings vectors made elsewhere into a store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.progress import Bar, Progress, silent
from gradstore.records import (
    NON_FINITE,
    ZERO,
    CheckpointIdentity,
    GradientBlock,
    ProjectionSpec,
    content_hash,
    digest,
)
from gradstore.sharing.card import write_card
from gradstore.store.columns import utf8
from gradstore.store.dataset import Dataset
from gradstore.store.layout import check_name
from gradstore.store.licence import licence_members
from gradstore.store.settings import wanted
from gradstore.store.store import open_store
from gradstore.store.writer import DatasetWriter

__all__ = ["Matrix", "import_arrays"]

_BLOCK_BYTES = 8 << 20


class Matrix(Protocol):
    """Rows that are read a slice at a time: an ndarray, a memmap, or anything that has these three."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, numbers of a row)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the slices."""

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        """Rows ``start`` to ``stop``; the same ones whenever they are asked for."""


def import_arrays(
    path: str | os.PathLike[str],
    *,
    name: str,
    gradients: Matrix,
    ids: Sequence[str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    checkpoint: str = "imported",
    direction: str = "sgd",
    identity: CheckpointIdentity | None = None,
    target: bool = False,
    encoding: str = "exact",
    sources: Sequence[str] | None = None,
    subtasks: Sequence[str] | None = None,
    tokens: npt.ArrayLike | None = None,
    loss: npt.ArrayLike | None = None,
    provenance: Mapping[str, Any] | None = None,
    license: str | Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Store vectors made elsewhere as a data set.

    The vectors are read twice from first to last, for their digest and to be written; never more than 8 MiB or
    one chunk of them at a time. Killed and repeated it goes on.

    Parameters
    ----------
    path : path
        The store; created if there is none.
    name : str
        Name of the data set.
    gradients : ndarray, memmap or other `Matrix` of real numbers, shape (N, k)
        Converted to float32. Rows that are not finite or all zero become invalid.
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
    encoding : str, default "exact"
        One of `gradstore.store.encodings.ENCODINGS`. By default nothing is lost that was given.
    sources, subtasks : sequence of str, optional
        By default the name of the data set, and nothing.
    tokens : array_like of int, shape (N,), optional
        Tokens of each row, for budgets and limits of tokens; by default 0, unknown.
    loss : array_like of float, shape (N,), optional
        Loss of each row, for selectors that go by it; by default NaN, unknown.
    provenance : Mapping, optional
        JSON values about where the vectors come from, kept with the data set.
    license : str or Mapping from source to str, optional
        Under which licence the rows may be used, kept with the data set; the source ``""`` stands for all others.
    progress : Progress, optional
        ``progress(total, unit, label)`` gives a bar.

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

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((8, 4))
    >>> pool = import_arrays("mine.zarr", name="pool", gradients=rows, sources=["a"] * 8)
    >>> len(pool), pool.directions
    (8, ('sgd',))
    """
    if len(gradients.shape) != 2 or gradients.dtype.kind not in "fiu" or 0 in gradients.shape:
        raise UsageError(
            f"gradients are a matrix of real numbers (rows, numbers a row), not {gradients.dtype} {gradients.shape}"
        )
    check_name("data set", name)
    check_name("checkpoint", checkpoint)
    count, dim = gradients.shape
    wanted(rows=count, directions={direction: dim}, encoding=encoding, chunk_rows=None)
    columns = _columns(name, count, ids, sources, subtasks, rows)
    columns |= _figures(count, tokens, loss)
    identity = identity or CheckpointIdentity(projection=ProjectionSpec("external", dim, 0))
    if identity.projection.dim != dim:
        raise UsageError(
            f"gradients have {dim} numbers a row, the identity's projection {identity.projection.dim}"
        )
    with progress(count, "rows", f"read {name}") as bar:
        content_digest = _content_digest(gradients, columns, bar)
    with DatasetWriter.open(
        path,
        checkpoint=checkpoint,
        identity=identity,
        name=name,
        rows=count,
        directions={direction: dim},
        encoding=encoding,
        content_digest=content_digest,
        attributes={
            "target": target,
            "format": "imported",
            **({"provenance": told} if (told := {**(provenance or {}), **licence_members(license)}) else {}),
        },
    ) as writer:
        missing = writer.missing()
        with progress(sum(len(writer.chunks[chunk]) for chunk in missing), "rows", f"import {name}") as bar:
            spans = ((chunk, writer.chunks[chunk]) for chunk in missing)
            blocks = (
                (chunk, _block(gradients[span.start : span.stop], columns, span, direction))
                for chunk, span in spans
            )
            for chunk in writer.write_all(blocks):
                bar.update(len(writer.chunks[chunk]))
        dataset = writer.seal()
    write_card(open_store(path))
    return dataset


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


def _figures(count: int, tokens: npt.ArrayLike | None, loss: npt.ArrayLike | None) -> dict[str, list[Any]]:
    """The columns ``tokens`` and ``loss``, as far as they are given."""
    given = {"tokens": (tokens, np.int32), "loss": (loss, np.float32)}
    found: dict[str, list[Any]] = {}
    for what, (values, kind) in given.items():
        if values is not None:
            numbers = np.asarray(values)
            if numbers.shape != (count,) or numbers.dtype.kind not in "fiu"[what == "tokens" :]:
                raise UsageError(f"{what} are {count} numbers, not {numbers.dtype} of shape {numbers.shape}")
            found[what] = numbers.astype(kind).tolist()
    return found


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


def _content_digest(gradients: Matrix, columns: Mapping[str, Sequence[Any]], bar: Bar) -> str:
    """Digest of numbers and columns, read in pieces."""
    state = hashlib.sha256(f"{gradients.dtype.str} {gradients.shape}".encode())
    count, dim = gradients.shape
    step = max(1, _BLOCK_BYTES // (dim * gradients.dtype.itemsize))
    for start in range(0, count, step):
        piece = np.ascontiguousarray(gradients[start : min(start + step, count)])
        state.update(piece.view(np.uint8).data)
        bar.update(len(piece))
    names = [each for each in ("ids", "sources", "subtasks", "tokens", "loss") if each in columns]
    texts = [json.dumps(columns[each]).encode() for each in names]
    return digest(state.digest(), *texts, *columns["records"])


def _block(
    gradients: npt.NDArray[Any], columns: Mapping[str, list[Any]], span: range, direction: str
) -> GradientBlock:
    with np.errstate(over="ignore"):
        numbers = np.asarray(gradients, dtype=np.float32)
    finite = np.isfinite(numbers).all(axis=1)
    valid = finite & (numbers != 0).any(axis=1)
    reasons = np.where(valid, "", np.where(finite, ZERO, NON_FINITE))
    part = {name: values[span.start : span.stop] for name, values in columns.items()}
    return GradientBlock(
        ids=part["ids"],
        sources=part["sources"],
        subtasks=part["subtasks"],
        reasons=reasons.tolist(),
        records=part["records"],
        loss=np.array(part.get("loss", [np.nan] * len(numbers)), dtype=np.float32),
        tokens=np.array(part.get("tokens", [0] * len(numbers)), dtype=np.int32),
        valid=valid,
        truncated=np.zeros(len(numbers), dtype=np.bool_),
        contents=np.frombuffer(b"".join(part["contents"]), dtype=np.uint8).reshape(len(numbers), -1),
        gradients={direction: numbers},
    )
