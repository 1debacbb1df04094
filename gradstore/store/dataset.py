"""Reads one sealed data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import CorruptError, IncompatibleError, IncompleteError, UsageError
from gradstore.records import CheckpointIdentity
from gradstore.registry import unknown_name
from gradstore.storage import Folder
from gradstore.store.ahead import read_ahead
from gradstore.store.base import check_pin
from gradstore.store.direction import Direction, open_direction
from gradstore.store.folder import DatasetFolder, begun
from gradstore.store.html import dataset_html
from gradstore.store.identity import comparability
from gradstore.store.layout import COLUMNS, COMING, MANIFEST, METADATA, bytes_text
from gradstore.store.manifest import Sealed, check_counts, is_sealed, read_manifest
from gradstore.store.rowtable import Choice, RowTable
from gradstore.store.settings import Settings

__all__ = ["Dataset", "open_dataset"]

Rows = npt.NDArray[np.float32]

DOWNLOADS = 4
"""Chunks that are downloaded at once."""


class Dataset(RowTable):
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
    pinned : Mapping from str to str, optional
        Digests that its manifests must have, by direction, and by ``""`` for the columns.

    Attributes
    ----------
    directions : tuple of str
        Directions that are finished, sorted.
    manifest : Manifest
        Of its columns; each direction has its own.
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
        pinned: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sealed, settings, name)
        self.checkpoint, self.identity = checkpoint, identity
        self.manifest, self._pinned = sealed.manifest, pinned or {}
        check_pin(self._pinned, "", self.manifest.digest, sealed.folder)
        self._verified = verified
        self._opened: dict[str, Direction] = {}
        folder = sealed.folder
        self.directions = tuple(each for each in begun(folder) if is_sealed(folder.at(each)))
        sealed.spec(f"{COLUMNS}/valid", settings.column("valid"))  # the number of rows is not made up
        if self.manifest.facts.get("checkpoint") != comparability(identity):
            raise IncompatibleError(
                f"data set {name!r} in {sealed.folder} was not made with checkpoint {checkpoint!r} as it is described "
                "there: the rows cannot be compared; restore the folder from a copy of the store"
            )
        check_counts(self.manifest, len(self), folder.where(MANIFEST))

    def dim(self, direction: str) -> int:
        """Length of a row.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        int
        """
        return self._direction(direction).vectors.dim

    def encoding(self, direction: str) -> str:
        """How rows are kept: ``int8``, ``half``, ``int4``, ``sign`` or ``exact``.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        str
        """
        return self._direction(direction).vectors.encoding

    def compression(self, direction: str) -> str:
        """How the codes are compressed: ``none``, ``zstd`` or ``blosc``.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        str
        """
        return self._direction(direction).vectors.compression

    def fidelity(self, direction: str) -> Mapping[str, Any] | None:
        """How well encoded rows keep the order of their cosines; None if not measured.

        ``spearman`` is the rank correlation over all pairs of the first ``rows`` rows, ``top1`` the share of the
        nearest 1 % of pairs that stay among them; ``source`` lists the encodings that the rows had been in before.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        Mapping from str to figures, or None
        """
        return self._direction(direction).manifest.facts.get("fidelity")

    def digest_of(self, direction: str) -> str:
        """Changes if and only if something stored of a direction or of the columns changes.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        str
        """
        return self._direction(direction).manifest.digest

    @property
    def digest(self) -> str:
        """Changes if and only if something stored of the columns changes."""
        return self.manifest.digest

    @property
    def size(self) -> int:
        """Bytes of everything stored: columns, original rows, and all directions."""
        return self.manifest.size + sum(self.size_of(each) for each in self.directions)

    def size_of(self, direction: str) -> int:
        """Bytes stored of one direction.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        int
        """
        return self._direction(direction).manifest.size

    def unfinished(self) -> dict[str, int]:
        """Directions that are not finished, and how many of their chunks are."""
        state = DatasetFolder.read(self._sealed.folder)
        return state.unfinished() if state else {}

    def norms(self, direction: str) -> Rows:
        """Euclidean norm of each projected row before encoding, shape (N,), float32.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        ndarray of float32, shape (N,)
        """
        return self._direction(direction).norms

    def read(self, direction: str, start: int, stop: int) -> Rows:
        """Decoded rows ``start`` to ``stop`` (excluded), float32, shape (stop - start, dim).

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.
        start, stop : int
            The first row, and the one after the last.

        Returns
        -------
        ndarray of float32, shape (stop - start, dim)

        Raises
        ------
        UsageError
            If the direction is not kept or the range leaves the data set.
        CorruptError
            If a chunk is missing or of the wrong size.
        """
        opened = self._direction(direction)
        if not 0 <= start <= stop <= len(self):
            raise UsageError(
                f"rows {start} to {stop} of data set {self.name!r}: it has rows 0 to {len(self)}"
            )
        size = self._settings.chunk_rows
        pieces = [
            opened.decode(chunk, slice(max(start - chunk * size, 0), stop - chunk * size))
            for chunk in range(start // size, -(-stop // size))
            if start < stop
        ]
        empty = np.empty((0, opened.vectors.dim), np.float32)
        return pieces[0] if len(pieces) == 1 else np.concatenate([empty, *pieces])

    def blocks(self, direction: str) -> Iterator[tuple[int, Rows]]:
        """All rows, a chunk at a time: pairs of the first row's index and the decoded rows.

        Read ahead, so that three chunks are in memory at most, and downloaded ahead where the store is elsewhere.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        iterator of (int, ndarray of float32, shape (n, dim))
        """
        opened = self._direction(direction)
        chunks = range(len(self.chunks))
        here = read_ahead(opened.download, chunks, DOWNLOADS) if opened.download_size else iter(chunks)
        decoded = read_ahead(lambda chunk: opened.decode(chunk, slice(None)), here, 1)
        return zip((rows.start for rows in self.chunks), decoded, strict=True)

    def encoded(self, direction: str) -> Iterator[tuple[int, npt.NDArray[Any], Rows | None]]:
        """All rows as they are stored, a chunk at a time: the first row's index, codes and scales.

        Codes are mapped from their files where they can be, and nothing is copied; docs/format.md says what they mean.
        Scales are None for the encoding ``exact``.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Yields
        ------
        start : int
        codes : ndarray, shape (n, bytes or numbers of a row)
        scales : ndarray of float32, shape (n,), or None
        """
        opened = self._direction(direction)
        for chunk, rows in enumerate(self.chunks):
            yield rows.start, *opened.encoded(chunk, slice(None))

    def download_size(self, direction: str) -> int:
        """Bytes of a direction's vectors that must be downloaded before they can be read; 0 on a disk.

        Parameters
        ----------
        direction : str
            A direction that is stored, such as ``adam``.

        Returns
        -------
        int
        """
        return self._direction(direction).download_size

    def take(self, direction: str, rows: Choice) -> Rows:
        """Decoded rows in the order given, repeats allowed; float32, shape (len(rows), dim).

        Parameters
        ----------
        direction : str
        rows : sequence or ndarray
            Row numbers; ids; or a bool for each row, which takes those that are true, in order.

        Returns
        -------
        ndarray of float32, shape (len(rows), dim)

        Raises
        ------
        UsageError
            If the direction is not kept or there is no such row.
        CorruptError
            If a chunk is missing or of the wrong size.
        """
        opened = self._direction(direction)
        wanted = self._rows(rows)
        out = np.empty((len(wanted), opened.vectors.dim), dtype=np.float32)
        if not len(wanted):
            return out
        chunk_of, within = np.divmod(wanted, self._settings.chunk_rows)
        order = np.argsort(chunk_of, kind="stable")
        chunks, starts = np.unique(chunk_of[order], return_index=True)
        for chunk, places in zip(chunks.tolist(), np.split(order, starts[1:]), strict=True):
            out[places] = opened.decode(chunk, within[places])
        return out

    def incomplete(self) -> IncompleteError:
        """The error for a data set of which no direction is finished."""
        return _incomplete(self._sealed.folder, self.name, self.checkpoint)

    def __repr__(self) -> str:
        kept = [
            f"{each} ({self.encoding(each)}, {self.dim(each):,} numbers a row)" for each in self.directions
        ]
        return (
            f"Dataset {self.name!r} of {self.checkpoint}\n"
            f"  rows        {len(self):,} ({self.manifest.facts.get('valid', 0):,} valid)\n"
            f"  directions  {', '.join(kept)}\n"
            f"  size        {bytes_text(self.size)}"
        )

    def _repr_html_(self) -> str:
        from gradstore.store.overview import dataset_info  # which reads data sets

        return dataset_html(dataset_info(self), self.checkpoint)

    def _direction(self, direction: str) -> Direction:
        """A finished direction, opened once."""
        if direction not in self.directions:
            if direction in begun(self._sealed.folder):
                raise _incomplete(self._sealed.folder, self.name, self.checkpoint, direction)
            raise UsageError(
                f"data set {self.name!r}: {unknown_name('direction', direction, self.directions)}"
            )
        if direction not in self._opened:
            found = open_direction(
                self._sealed.folder.at(direction),
                direction,
                self._settings,
                self.digest,
                verified=self._verified,
            )
            check_pin(self._pinned, direction, found.manifest.digest, self._sealed.folder.at(direction))
            self._opened[direction] = found
        return self._opened[direction]


def open_dataset(
    folder: Folder,
    *,
    name: str,
    checkpoint: str,
    identity: CheckpointIdentity,
    verified: bool = False,
    pinned: Mapping[str, str] | None = None,
) -> Dataset:
    """Open a data set whose columns are sealed; perhaps none of its directions is. For parameters see `Dataset`.

    Raises
    ------
    IncompleteError
        If they are not; the message says how to go on.
    CorruptError, IncompatibleError
        If what is stored is damaged, or not of this format or checkpoint.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise _incomplete(folder, name, checkpoint)
    sealed = Sealed(folder, manifest)
    settings = Settings.parse(sealed.group(), folder.where(METADATA))
    return Dataset(
        sealed,
        settings,
        name=name,
        checkpoint=checkpoint,
        identity=identity,
        verified=verified,
        pinned=pinned,
    )


def _incomplete(folder: Folder, name: str, checkpoint: str, direction: str = "") -> IncompleteError:
    state = DatasetFolder.read(folder)
    if state is None:
        raise CorruptError(f"{folder.where(METADATA)} is gone: restore it from a copy of the store")
    chunks = len(state.settings.chunks)
    done = chunks - len(state.missing([direction] if direction else state.vectors))
    what = f"direction {direction!r} of data set {name!r}" if direction else f"data set {name!r}"
    where = f"{what} of {checkpoint!r} in {folder} is not finished"
    if folder.size(COMING) is not None:
        return IncompleteError(f"{where}: run the same `gradstore store push` or `pull` again to finish it")
    return IncompleteError(
        f"{where}: run the same `gradstore extract` command again to finish it ({done} of {chunks} chunks done)"
    )
