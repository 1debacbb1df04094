"""Writes one data set, a chunk at a time; a run that is killed and repeated leaves the same bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, IncompleteError, UsageError
from gradstore.records import CheckpointIdentity, GradientBlock
from gradstore.store.arrays import LARGEST_CHUNK, encode_chunk, rows_per_chunk
from gradstore.store.columns import packed, utf8
from gradstore.store.dataset import Dataset
from gradstore.store.encodings import encoding, row_norms
from gradstore.store.fidelity import fidelity
from gradstore.store.files import Lock
from gradstore.store.layout import (
    CHECKPOINTS,
    COLUMNS,
    LOCK,
    METADATA,
    PARTS,
    check_name,
    group_document,
    parse_group,
    plain_json,
)
from gradstore.store.manifest import Recorder, read_manifest
from gradstore.store.parts import Part, finished, is_finished, write_part
from gradstore.store.sealing import consolidate
from gradstore.store.settings import Settings, comparability
from gradstore.store.store import Store, create_store, join_checkpoint

__all__ = ["DatasetWriter"]


class DatasetWriter:
    """Writes one data set; a `GradientSink` and a context manager. Made by `DatasetWriter.open`.

    Attributes
    ----------
    name, checkpoint : str
    identity : CheckpointIdentity
        As stored with the checkpoint.
    settings : Settings
    chunks : list of range
        Rows of each chunk.
    sealed : bool
        Whether the data set is finished.
    """

    def __init__(
        self, store: Store, name: str, checkpoint: str, identity: CheckpointIdentity, settings: Settings
    ) -> None:
        self.name, self.checkpoint, self.identity, self.settings = name, checkpoint, identity, settings
        self.chunks = settings.chunks
        self._store = store
        self._folder = store.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}")
        self._recorder = Recorder(self._folder)
        busy = f"another process is writing data set {name!r} of {checkpoint!r} in {store.path}: wait for it to end"
        self._lock = Lock(self._folder, LOCK, busy)
        try:
            self.sealed = self._prepare()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        checkpoint: str,
        identity: CheckpointIdentity,
        name: str,
        rows: int,
        directions: Sequence[str],
        encoding: str = "int8",
        chunk_rows: int | None = None,
        content_digest: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a data set, or go on with one.

        Parameters
        ----------
        path : path
            The store; created if there is none.
        checkpoint : str
            Name of the checkpoint group.
        identity : CheckpointIdentity
            What the rows are made with; its projection gives the length of a row.
        name : str
            Name of the data set.
        rows : int
        directions : sequence of str
            Kept sorted.
        encoding : {"int8", "half", "exact"}
        chunk_rows : int, optional
            Rows of a chunk; by default what fills 8 MiB.
        content_digest : str
            Digest of the input rows: a run can only be resumed with the same.
        attributes : Mapping, optional
            JSON values kept with the data set. ``target`` (bool) marks a target set. All must be the same when
            resumed, but for ``provenance``.

        Raises
        ------
        UsageError
            If an argument cannot be right.
        IncompatibleError
            If the store holds it with other settings, or the checkpoint with another identity.
        StoreWriteError
            If another process writes it, or the system refuses to write.
        """
        settings = _settings(
            rows, identity.projection.dim, chunk_rows, encoding, directions, content_digest, attributes or {}
        )
        check_name("data set", name)
        check_name("checkpoint", checkpoint)
        store = create_store(path)
        return cls(store, name, checkpoint, join_checkpoint(store, checkpoint, identity), settings)

    def missing(self) -> list[int]:
        """Chunks that are not finished yet."""
        if self.sealed:
            return []
        done = finished(self._folder)
        return [chunk for chunk in range(len(self.chunks)) if chunk not in done]

    def write(self, chunk: int, block: GradientBlock) -> None:
        """Make one chunk durable.

        Raises
        ------
        UsageError
            If the chunk is finished already, or the block does not fit it.
        StoreWriteError
            If the system refuses; finished chunks stay finished.
        """
        if self.sealed or not 0 <= chunk < len(self.chunks) or is_finished(self._folder, chunk):
            raise UsageError(f"chunk {chunk} of data set {self.name!r} is finished or does not exist")
        self._check(chunk, block)
        recorder, columns, measured = Recorder(self._folder), _columns(block), {}
        kind, spec = encoding(self.settings.encoding), self.settings.gradient
        for direction in self.settings.directions:
            rows = np.where(block.valid[:, None], block.gradients[direction], np.float32(0))
            codes, scale = kind.encode(rows)
            recorder.put(f"{direction}/gradient/{spec.key(chunk)}", encode_chunk(spec, codes))
            columns[f"{direction}/norm"] = row_norms(rows)
            if scale is not None:
                columns[f"{direction}/scale"] = scale
                if chunk == 0:
                    measured[direction] = fidelity(rows, kind.decode(codes, scale), block.valid)
        write_part(self._folder, chunk, Part(columns, recorder.objects, measured))

    def seal(self) -> Dataset:
        """Put the columns together and publish the manifest; the data set is then readable and final.

        Raises
        ------
        IncompleteError
            If chunks are missing.
        CorruptError
            If something of a finished chunk is gone.
        StoreWriteError
            If the system refuses; nothing is lost.
        """
        missing = self.missing()
        if missing:
            raise IncompleteError(f"data set {self.name!r} lacks {len(missing)} of {len(self.chunks)} chunks")
        if not self.sealed:
            facts = consolidate(self._recorder, self.settings)
            self._recorder.seal(checkpoint=comparability(self.identity), **facts)
            self._folder.delete(PARTS)
            self.sealed = True
        return self._store.dataset(self.name, self.checkpoint)

    def close(self) -> None:
        """Let other processes write this data set."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> bool:
        """Compare with what is stored, publish what is not there yet; return whether it is sealed."""
        stored = self._folder.get(METADATA)
        if stored is not None:
            where = self._folder.root / METADATA
            differences = Settings.parse(parse_group(stored, where), where).differences(self.settings)
            if differences:
                raise IncompatibleError(
                    f"data set {self.name!r} of {self.checkpoint!r} in {self._store.path} was made with other "
                    f"settings ({'; '.join(differences)}): choose another name, or repeat the settings it has"
                )
        if read_manifest(self._folder) is not None:
            self._folder.delete(PARTS)
            return True
        self._recorder.ensure(METADATA, stored or self.settings.document())
        self._recorder.ensure(f"{COLUMNS}/{METADATA}", group_document())
        for direction in self.settings.directions:
            self._recorder.ensure(f"{direction}/{METADATA}", group_document())
            self._recorder.ensure(f"{direction}/gradient/{METADATA}", self.settings.gradient.document())
        return False

    def _check(self, chunk: int, block: GradientBlock) -> None:
        """Refuse a block that does not fit its chunk, or holds numbers that are none."""
        rows, dim = len(self.chunks[chunk]), self.settings.dim
        what = f"chunk {chunk} of data set {self.name!r}"
        columns = (block.ids, block.sources, block.subtasks, block.reasons, block.records)
        numbers = (block.loss, block.tokens, block.valid)
        if any(len(column) != rows for column in (*columns, *numbers)):
            raise UsageError(f"{what} has {rows} rows, but the block's columns do not all have as many")
        if set(block.gradients) != set(self.settings.directions):
            raise UsageError(f"{what} needs the directions {', '.join(self.settings.directions)}")
        for direction, gradients in block.gradients.items():
            if gradients.shape != (rows, dim) or gradients.dtype != np.float32:
                raise UsageError(
                    f"{what}, {direction}: gradients are float32 of shape {(rows, dim)}, "
                    f"not {gradients.dtype} of shape {gradients.shape}"
                )
            bad = block.valid & ~np.isfinite(row_norms(gradients))
            if bad.any():
                raise UsageError(
                    f"{what}, {direction}: row {block.ids[int(bad.argmax())]!r} is valid but not finite"
                )


def _settings(
    rows: int,
    dim: int,
    chunk_rows: int | None,
    kind: str,
    directions: Sequence[str],
    content_digest: str,
    attributes: Mapping[str, Any],
) -> Settings:
    """Settings from arguments, refused where they cannot be right."""
    names = tuple(sorted(check_name("direction", name) for name in directions))
    if not names or len(set(names)) != len(names):
        raise UsageError("a data set needs at least one direction, each once")
    if rows < 1 or dim < 1:
        raise UsageError(f"a data set needs rows and numbers, not {rows} rows of {dim} numbers")
    row_bytes = dim * np.dtype(encoding(kind).dtype).itemsize
    if chunk_rows is None:
        chunk_rows = rows_per_chunk(rows, row_bytes)
    chunk_rows = min(chunk_rows, rows)
    if chunk_rows < 1 or chunk_rows * row_bytes > LARGEST_CHUNK:
        raise UsageError(f"chunk_rows must be at least 1 and a chunk at most 1 GiB, not {chunk_rows} rows")
    return Settings(rows, dim, chunk_rows, kind, names, content_digest, plain_json(attributes, "attributes"))


def _columns(block: GradientBlock) -> dict[str, npt.NDArray[Any]]:
    """Columns of a part, by name relative to the data set."""
    strings = {
        "id": utf8(block.ids, "id"),
        "source": utf8(block.sources, "source"),
        "subtask": utf8(block.subtasks, "subtask"),
        "reason": utf8(block.reasons, "reason"),
        "record": block.records,
    }
    columns: dict[str, npt.NDArray[Any]] = {
        f"{COLUMNS}/loss": np.where(block.valid, block.loss, np.float32(np.nan)).astype(np.float32),
        f"{COLUMNS}/tokens": block.tokens.astype(np.int32),
        f"{COLUMNS}/valid": block.valid,
    }
    for name, values in strings.items():
        columns[f"{COLUMNS}/{name}/data"], columns[f"{COLUMNS}/{name}/offsets"] = packed(values)
    return columns
