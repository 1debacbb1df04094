"""Bytes of rows that stay on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import IO

from gradstore.errors import DataError

__all__ = ["Source", "Spool"]

_BUFFER = 1 << 20


class Source:
    """Pieces of an open file, for any number of threads at once.

    Parameters
    ----------
    file : open binary file
        Closed with the last reference to the source.
    path : Path
        What the user calls it, for messages.
    shared : bool
        Whether others can write to the file: then reading checks that nobody did.
    """

    def __init__(self, file: IO[bytes], path: Path, *, shared: bool) -> None:
        self.file = file
        self._path = path
        self._stamp = self._state() if shared else None
        weakref.finalize(self, file.close)

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start`.

        Raises
        ------
        DataError
            If the file has changed since it was opened, or cannot be read any more.
        """
        try:
            data = os.pread(self.file.fileno(), size, start)
            while len(data) < size and (
                more := os.pread(self.file.fileno(), size - len(data), start + len(data))
            ):
                data += more
            self.check()
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read any more: {error.strerror or error}") from error
        return data

    def check(self) -> None:
        """Refuse a file that has changed since it was opened."""
        if self._stamp is not None and self._state() != self._stamp:
            raise DataError(
                f"{self._path}: has changed since its rows were checked (another size or time of change); "
                "run the command again, and leave the file alone meanwhile"
            )

    def _state(self) -> tuple[int, int]:
        state = os.fstat(self.file.fileno())
        return state.st_size, state.st_mtime_ns


class Spool:
    """Rows put aside in a temporary file without a name, which vanishes with its process.

    Parameters
    ----------
    path : Path
        Where the rows come from, for messages.
    what : str
        What is put aside of them, for messages.

    Attributes
    ----------
    source : Source
        The rows, to be read again after `flush`.

    Raises
    ------
    DataError
        Here and in the methods: if the temporary disk is full or not there.
    """

    def __init__(self, path: Path, what: str = "rows") -> None:
        self._path, self._what = path, what
        self._end = 0
        self._pending = bytearray()
        try:
            # No buffer of Python's own: what it could not write would fail again whenever the file is closed.
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (the source closes it)
        except OSError as error:
            raise self._full(error) from error
        self.source = Source(file, path, shared=False)

    def append(self, data: bytes) -> int:
        """Put a row aside; where it begins."""
        start = self._end
        self._pending += data
        self._pending += b"\n"
        self._end += len(data) + 1
        if len(self._pending) >= _BUFFER:
            self.flush()
        return start

    def flush(self) -> None:
        """Write what is still in memory."""
        try:
            while self._pending:
                del self._pending[: self.source.file.write(self._pending)]
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> DataError:
        folder = tempfile.tempdir or "the temporary folder"
        return DataError(
            f"{self._path}: its {self._what} do not fit into {folder}: {error.strerror or error}; "
            "free some space there, or let TMPDIR name a folder with more"
        )
