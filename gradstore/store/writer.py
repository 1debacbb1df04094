"""Writes one data set, a chunk at a time, in any number of processes; killed and repeated it leaves the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompleteError, StoreWriteError, UsageError
from gradstore.records import CheckpointIdentity, GradientBlock
from gradstore.store.ahead import read_ahead
from gradstore.store.begin import begin
from gradstore.store.claim import Claim
from gradstore.store.create import create_store, join_checkpoint
from gradstore.store.dataset import Dataset
from gradstore.store.identity import comparability
from gradstore.store.layout import CHECKPOINTS, COLUMNS, check_name, claim_name
from gradstore.store.manifest import Sealed, is_sealed, read_manifest
from gradstore.store.parts import COLUMN_ARRAYS, read_part
from gradstore.store.sealing import seal_finished
from gradstore.store.settings import Settings, VectorSettings, wanted
from gradstore.store.store import Store

__all__ = ["DatasetWriter"]


class DatasetWriter:
    """Writes one data set; a context manager. Made by `DatasetWriter.open`.

    Any number of processes may have one open for the same data set, for the same directions or for others. A chunk is
    written by the process that has claimed it.

    Attributes
    ----------
    name, checkpoint : str
    identity : CheckpointIdentity
        As stored with the checkpoint.
    settings : Settings
    directions : tuple of str
        Those that this writer writes, sorted.
    chunks : list of range
        Rows of each chunk.
    dataset : DatasetFolder
        Its folder.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        checkpoint: str,
        identity: CheckpointIdentity,
        settings: Settings,
        vectors: Mapping[str, VectorSettings],
        *,
        any_chunk_rows: bool = False,
    ) -> None:
        self.name, self.checkpoint, self.identity = name, checkpoint, identity
        self._store = store
        self._what = f"data set {name!r} of {checkpoint!r} in {store.location}"
        self._claims: list[Claim] = []
        folder = store.folder.at(f"{CHECKPOINTS}/{checkpoint}/{name}")
        self.dataset = begin(folder, settings, vectors, any_chunk_rows=any_chunk_rows, what=self._what)
        self.settings, self.directions = self.dataset.settings, tuple(self.dataset.vectors)
        self.chunks = self.settings.chunks

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        checkpoint: str,
        identity: CheckpointIdentity,
        name: str,
        rows: int,
        directions: Mapping[str, int],
        encoding: str = "int8",
        chunk_rows: int | None = None,
        content_digest: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a data set, go on with one, or add directions to one.

        Parameters
        ----------
        path : path
            The store; created if there is none.
        checkpoint : str
            Name of the checkpoint group.
        identity : CheckpointIdentity
            What the rows are made with.
        name : str
            Name of the data set.
        rows : int
        directions : Mapping from str to int
            What to write, and the length of a row in each. Others that are stored are left as they are.
        encoding : {"int8", "half", "int4", "sign", "exact"}
        chunk_rows : int, optional
            Rows of a chunk; by default what the data set has, or else what fills 8 MiB in the widest direction.
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
            If the system refuses to write.
        """
        settings, vectors = wanted(
            rows=rows,
            directions=directions,
            encoding=encoding,
            chunk_rows=chunk_rows,
            content_digest=content_digest,
            attributes=attributes,
        )
        check_name("data set", name)
        check_name("checkpoint", checkpoint)
        store = create_store(path)
        if store.base is not None and name in store.base_datasets(checkpoint):
            raise UsageError(
                f"data set {name!r} of {checkpoint!r} is in {store.base.folder}, on which {store.location} lies and "
                "which is only read: choose another name"
            )
        stored = join_checkpoint(store, checkpoint, identity)
        return cls(store, name, checkpoint, stored, settings, vectors, any_chunk_rows=chunk_rows is None)

    @property
    def sealed(self) -> bool:
        """Whether the data set is finished in all directions of this writer."""
        return self.dataset.sealed(self.directions)

    def missing(self) -> list[int]:
        """Chunks that are not finished yet, whoever has them."""
        return self.dataset.missing(self.directions)

    def unfinished(self) -> tuple[str, ...]:
        """Directions of this writer that some chunk lacks."""
        lacking = {name for chunk in self.missing() for name in self.dataset.todo(chunk, self.directions)}
        return tuple(sorted(lacking))

    def claim(self, chunk: int) -> Claim | None:
        """Take a chunk; None if it is finished, or if it is claimed already, by whatever living process.

        Parameters
        ----------
        chunk : int
            Its number.

        Returns
        -------
        Claim or None

        Raises
        ------
        UsageError
            If there is no such chunk.
        StoreWriteError
            If the system refuses.
        """
        if not 0 <= chunk < len(self.chunks):
            raise UsageError(f"chunk {chunk} of {self._what} does not exist")
        if not self.dataset.todo(chunk, self.directions):
            return None
        lock = self.dataset.folder.attempt(claim_name(chunk))
        if lock is None:
            return None
        try:
            directions = self.dataset.todo(chunk, self.directions)  # another may have finished it meanwhile
            if not directions:
                lock.release()
                return None
            claim = Claim(
                self.dataset,
                chunk,
                directions,
                lock,
                what=f"chunk {chunk} of {self._what}",
                valid=self._stored_valid(chunk),
                on_release=self._claims.remove,
            )
        except BaseException:
            lock.release()
            raise
        self._claims.append(claim)
        return claim

    def write(self, chunk: int, block: GradientBlock) -> None:
        """Claim a chunk, make it durable, and release it.

        Parameters
        ----------
        chunk : int
            Its number.
        block : GradientBlock
            Its rows.

        Raises
        ------
        UsageError
            If the chunk is finished or does not exist, or the block does not fit it.
        StoreWriteError
            If another process has the chunk, or the system refuses; finished chunks stay finished.
        """
        claim = self.claim(chunk)
        if claim is None:
            what = f"chunk {chunk} of {self._what}"
            if self.dataset.todo(chunk, self.directions):
                raise StoreWriteError(f"another process is writing {what}: leave it to that one")
            raise UsageError(f"{what} is finished")
        with claim:
            claim.write(block)

    def write_all(self, blocks: Iterable[tuple[int, GradientBlock]]) -> Iterator[int]:
        """Write many chunks as `write` does: while one waits for the disk, the next are encoded.

        Parameters
        ----------
        blocks : iterable of (int, GradientBlock)
            Numbers of chunks and their rows; up to four blocks are in memory.

        Returns
        -------
        iterator of int
            The number of each chunk once it is durable, in the order given.

        Raises
        ------
        UsageError, StoreWriteError
            See `write`; chunks after the one that failed may be finished too.
        """

        def write(numbered: tuple[int, GradientBlock]) -> int:
            self.write(*numbered)
            return numbered[0]

        return read_ahead(write, blocks, 2)

    def seal(self) -> Dataset:
        """Put the columns together and publish the manifests; the data set is then readable and final.

        Any process may do so, and again.

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
            raise IncompleteError(f"{self._what} lacks {len(missing)} of {len(self.chunks)} chunks")
        self.seal_finished()
        return self._store.dataset(self.name, self.checkpoint)

    def seal_finished(self) -> None:
        """Seal those directions of which no chunk is missing."""
        with self.dataset.hold():
            seal_finished(self.dataset, comparability(self.identity))

    def close(self) -> None:
        """Release all claims."""
        for claim in list(self._claims):
            claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stored_valid(self, chunk: int) -> npt.NDArray[np.bool_] | None:
        rows = self.chunks[chunk]
        part = read_part(self.dataset.folder, chunk, COLUMN_ARRAYS, len(rows))
        if part is not None:
            return part.arrays["valid"]
        # In this order: parts are removed only after the manifest is there.
        return self._sealed_valid[rows.start : rows.stop] if is_sealed(self.dataset.folder) else None

    @cached_property
    def _sealed_valid(self) -> npt.NDArray[np.bool_]:
        manifest = read_manifest(self.dataset.folder)
        if manifest is None:
            raise StoreWriteError(f"{self._what} was removed meanwhile: run the same command again")
        return Sealed(self.dataset.folder, manifest).array(f"{COLUMNS}/valid", self.settings.column("valid"))
