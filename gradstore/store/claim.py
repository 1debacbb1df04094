"""One chunk in the hands of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt

from gradstore.errors import UsageError
from gradstore.records import GradientBlock
from gradstore.storage import Lock
from gradstore.store.blocks import Piece, checked_norms, columns_part, encoded
from gradstore.store.folder import DatasetFolder
from gradstore.store.manifest import Entry
from gradstore.store.parts import Part, is_finished, part_bytes, part_path

__all__ = ["Claim"]


class Claim:
    """The right to write one chunk, which no other process of this machine has meanwhile; a context manager.

    It ends when it is released, or with the process, however that ends. Made by `DatasetWriter.claim`.

    Attributes
    ----------
    chunk : int
    rows : range
        Rows of the chunk.
    directions : tuple of str
        What is to be computed for it.
    valid : ndarray of bool, or None
        Which of its rows are stored as valid; in a direction that is added, the others are zero. None if the chunk's
        columns are not stored yet.
    """

    def __init__(
        self,
        dataset: DatasetFolder,
        chunk: int,
        directions: tuple[str, ...],
        lock: Lock,
        *,
        what: str,
        valid: npt.NDArray[np.bool_] | None,
        on_release: Callable[[Claim], object],
    ) -> None:
        self.chunk, self.rows = chunk, dataset.settings.span(chunk)
        self.directions, self.valid = directions, valid
        self._dataset, self._what, self._on_release = dataset, what, on_release
        self._lock: Lock | None = lock

    def write(self, block: GradientBlock) -> None:
        """Make the chunk durable.

        Parameters
        ----------
        block : GradientBlock
            Rows in all `directions`; those that it has in others of the writer's are left out.

        Raises
        ------
        UsageError
            If the block does not fit the chunk or what is stored of it, or the claim is released.
        StoreWriteError
            If the system refuses; finished chunks stay finished.
        """
        settings, vectors = self._dataset.settings, self._dataset.vectors
        norms = checked_norms(block, len(self.rows), vectors, self.directions, self._what)
        if self.valid is not None:
            # A row may have an embedding and no gradient, and is then found out when the gradients are added.
            block = replace(block, valid=block.valid & self.valid)
        self.put(
            columns_part(block),
            (
                encoded(block, name, norms[name], vectors[name], settings, self.chunk)
                for name in self.directions
            ),
        )

    def put(self, columns: Part, pieces: Iterable[Piece]) -> None:
        """Publish columns, and each direction's objects and then its part; what is there already is left as it is.

        Parameters
        ----------
        columns : Part
            Columns of the chunk's rows.
        pieces : iterable of Piece
            Vectors, a piece for each direction.

        Raises
        ------
        UsageError
            If the claim was released already.
        """
        if self._lock is None:
            raise UsageError(f"{self._what}: the claim on it is released")
        folder, part = self._dataset.folder, part_path(self.chunk)
        first = {} if is_finished(folder, self.chunk) else {part: part_bytes(columns)}
        for piece in pieces:
            if is_finished(self._dataset.of(piece.direction), self.chunk):
                continue  # by a machine that our locks do not reach
            folder.put_in_order(self._steps(first, piece))
            first = {}
        folder.put_in_order([first])

    def _steps(self, first: Mapping[str, bytes], piece: Piece) -> Iterator[Mapping[str, bytes]]:
        """What is published of a direction, one after the other."""
        yield {**first, **{f"{piece.direction}/{name}": data for name, data in piece.objects.items()}}
        known = {name: Entry.of(data) for name, data in piece.objects.items()}  # while the disk is at work
        yield {f"{piece.direction}/{part_path(self.chunk)}": part_bytes(replace(piece.part, objects=known))}

    def release(self) -> None:
        """Let others have the chunk."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            self._on_release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
