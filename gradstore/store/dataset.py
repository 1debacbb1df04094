"""Reads one sealed data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import IncompatibleError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.store.arrays import ArraySpec
from gradstore.store.columns import read_offsets, read_spans, read_strings
from gradstore.store.encodings import encoding
from gradstore.store.layout import COLUMNS, METADATA, NUMBER_COLUMNS, bytes_text
from gradstore.store.manifest import Sealed
from gradstore.store.settings import Settings, comparability

__all__ = ["Dataset"]

Rows = npt.NDArray[np.float32]
Strings = npt.NDArray[np.object_]


class Dataset:
    """One sealed data set of a store; made by `Store.dataset`.

    Columns are read when first used and kept; gradients are read when asked for and not kept.

    Parameters
    ----------
    sealed : Sealed
        Its objects.
    settings : Settings
        What its ``zarr.json`` says.
    name, checkpoint : str
    identity : CheckpointIdentity
        Of the checkpoint group it lies in.
    verified : bool
        Check every chunk of gradients against its checksum when it is read, instead of mapping its file.
    """

    def __init__(
        self,
        sealed: Sealed,
        settings: Settings,
        *,
        name: str,
        checkpoint: str,
        identity: CheckpointIdentity,
        verified: bool = False,
    ) -> None:
        self.name, self.checkpoint, self.identity = name, checkpoint, identity
        self.manifest = sealed.manifest
        self._sealed, self._settings, self._verified = sealed, settings, verified
        self._encoding = encoding(settings.encoding)
        self._kept: dict[str, Rows] = {}
        self._specs: dict[str, ArraySpec] = {}
        if settings.gradient.chunks * len(settings.directions) > len(self.manifest.objects):
            raise sealed.damage(METADATA, f"speaks of {settings.rows} rows, more than there are objects for")
        if (
            self.manifest.facts.get("checkpoint") != comparability(identity)
            or settings.dim != identity.projection.dim
        ):
            raise IncompatibleError(
                f"data set {name!r} in {sealed.folder} was not made with checkpoint {checkpoint!r} as it is described "
                "there: the rows cannot be compared; restore the folder from a copy of the store"
            )

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self._settings.dim

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions kept, sorted."""
        return self._settings.directions

    @property
    def encoding(self) -> str:
        """How rows are kept: ``int8``, ``half`` or ``exact``."""
        return self._settings.encoding

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What its maker wrote about it (JSON values); ``target`` says whether it is a target set."""
        return self._settings.attributes

    @property
    def content_digest(self) -> str:
        """Digest of the rows it was made from."""
        return self._settings.content_digest

    @property
    def digest(self) -> str:
        """Changes if and only if something stored changes."""
        return self.manifest.digest

    def __len__(self) -> int:
        return self._settings.rows

    @cached_property
    def ids(self) -> Strings:
        """Row ids, shape (N,)."""
        return self._strings("id")

    @cached_property
    def sources(self) -> Strings:
        """Where each row comes from, shape (N,)."""
        return self._strings("source")

    @cached_property
    def subtasks(self) -> Strings:
        """Subtask of each row, ``""`` where there is none; shape (N,)."""
        return self._strings("subtask")

    @cached_property
    def reasons(self) -> Strings:
        """Why a row is invalid, ``""`` where it is valid; shape (N,)."""
        return self._strings("reason")

    @cached_property
    def loss(self) -> Rows:
        """Mean cross-entropy of each row, NaN where unknown; shape (N,)."""
        return self._numbers("loss")

    @cached_property
    def tokens(self) -> npt.NDArray[np.int32]:
        """Tokens of each row, learned or not, shape (N,)."""
        return self._numbers("tokens")

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Whether each row has a gradient, shape (N,)."""
        return self._numbers("valid")

    def norms(self, direction: str) -> Rows:
        """Euclidean norm of each projected row before encoding, shape (N,), float32."""
        self._check(direction)
        return self._row_numbers(direction, "norm")

    def read(self, direction: str, start: int, stop: int) -> Rows:
        """Decoded rows ``start`` to ``stop`` (excluded), float32, shape (stop - start, dim).

        Raises
        ------
        UsageError
            If the direction is not kept or the range leaves the data set.
        CorruptError
            If a chunk is missing or of the wrong size.
        """
        self._check(direction)
        if not 0 <= start <= stop <= len(self):
            raise UsageError(
                f"rows {start} to {stop} of data set {self.name!r}: it has rows 0 to {len(self)}"
            )
        size = self._settings.chunk_rows
        pieces = [
            self._decode(direction, chunk, slice(max(start - chunk * size, 0), stop - chunk * size))
            for chunk in range(start // size, -(-stop // size))
            if start < stop
        ]
        return (
            pieces[0] if len(pieces) == 1 else np.concatenate([np.empty((0, self.dim), np.float32), *pieces])
        )

    def blocks(self, direction: str) -> Iterator[tuple[int, Rows]]:
        """All rows, a chunk at a time: pairs of the first row's index and the decoded rows."""
        for rows in self._settings.chunks:
            yield rows.start, self.read(direction, rows.start, rows.stop)

    def take(self, direction: str, rows: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Rows:
        """Decoded rows in the order given, repeats allowed; float32, shape (len(rows), dim).

        Raises
        ------
        UsageError
            If the direction is not kept or there is no such row.
        CorruptError
            If a chunk is missing or of the wrong size.
        """
        self._check(direction)
        wanted = self._rows(rows)
        out = np.empty((len(wanted), self.dim), dtype=np.float32)
        if not len(wanted):
            return out
        chunk_of, within = np.divmod(wanted, self._settings.chunk_rows)
        order = np.argsort(chunk_of, kind="stable")
        chunks, starts = np.unique(chunk_of[order], return_index=True)
        for chunk, places in zip(chunks.tolist(), np.split(order, starts[1:]), strict=True):
            out[places] = self._decode(direction, chunk, within[places])
        return out

    @cached_property
    def has_records(self) -> bool:
        """Whether the original rows are in the store."""
        return int(self._record_offsets[-1]) > 0

    def records(self, rows: Sequence[int] | npt.NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
        """Original rows in the order given; only the chunks that hold them are read.

        Raises
        ------
        UsageError
            If the data set does not hold its original rows, or there is no such row.
        """
        wanted = self._rows(rows).tolist()
        if not self.has_records:
            raise UsageError(
                f"data set {self.name!r} does not hold its original rows: give the data file it was made from"
            )
        spans = read_spans(self._sealed, f"{COLUMNS}/record", self._record_offsets, wanted)
        try:
            return [json.loads(span) for span in spans]
        except ValueError as error:
            raise self._sealed.damage(f"{COLUMNS}/record", f"holds a row that is no JSON ({error})") from None

    def __repr__(self) -> str:
        return (
            f"Dataset {self.name!r} of {self.checkpoint}\n"
            f"  rows        {len(self):,} ({self.manifest.facts.get('valid', 0):,} valid)\n"
            f"  directions  {', '.join(self.directions)}\n"
            f"  encoding    {self.encoding}, {self.dim:,} numbers a row, {bytes_text(self.manifest.size)}"
        )

    @cached_property
    def _record_offsets(self) -> npt.NDArray[np.int64]:
        return read_offsets(self._sealed, f"{COLUMNS}/record", len(self))

    def _strings(self, name: str) -> Strings:
        return read_strings(self._sealed, f"{COLUMNS}/{name}", len(self))

    def _numbers(self, name: str) -> npt.NDArray[Any]:
        return self._sealed.array(f"{COLUMNS}/{name}", self._settings.column(NUMBER_COLUMNS[name]))

    def _row_numbers(self, direction: str, name: str) -> Rows:
        """Norm or scale of each row of a direction, read once."""
        array = f"{direction}/{name}"
        if array not in self._kept:
            self._kept[array] = self._sealed.array(array, self._settings.column("float32"))
        return self._kept[array]

    def _check(self, direction: str) -> None:
        if direction not in self.directions:
            raise UsageError(
                f"data set {self.name!r}: {unknown_name('direction', direction, self.directions)}"
            )

    def _rows(self, rows: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        wanted = np.asarray(rows)
        if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
            raise UsageError(f"rows of data set {self.name!r} are given as a list of whole numbers")
        wrong = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(wrong):
            raise UsageError(f"row {wrong[0]} of data set {self.name!r}: it has rows 0 to {len(self)}")
        return wanted.astype(np.int64)

    def _decode(self, direction: str, chunk: int, rows: slice | npt.NDArray[np.int64]) -> Rows:
        """Some rows of a chunk, counted from its first."""
        array, spec = f"{direction}/gradient", self._gradient(direction)
        read = self._sealed.chunk if self._verified else self._sealed.mapped
        codes = read(array, spec, chunk)[rows]
        if not self._encoding.scaled:
            return self._encoding.decode(codes, None)
        span = spec.rows(chunk)
        return self._encoding.decode(
            codes, self._row_numbers(direction, "scale")[span.start : span.stop][rows]
        )

    def _gradient(self, direction: str) -> ArraySpec:
        """The gradient array of a direction, its document checked once."""
        if direction not in self._specs:
            self._specs[direction] = self._sealed.spec(f"{direction}/gradient", self._settings.gradient)
        return self._specs[direction]
