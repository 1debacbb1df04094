"""Takes the bytes of an object as they arrive, in memory or in a file, and hashes them on the way."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import BinaryIO

from gradstore.storage.folder import Entry

__all__ = ["PIECE", "Receiver", "UnwritableError"]

PIECE = 1 << 20
"""Bytes asked for at a time: what an object takes of memory while it goes to a file."""


class UnwritableError(Exception):
    """The file cannot take what arrives: no matter of the network, so nobody should try again; says why."""


class Receiver:
    """Where an object's bytes go; each try to download it begins anew.

    Parameters
    ----------
    most : int, optional
        Bytes it may have; one more is taken, which shows that it has more.
    file : BinaryIO, optional
        Where they go, by default into memory.
    """

    def __init__(self, most: int | None = None, file: BinaryIO | None = None) -> None:
        self.size = 0
        self._most = most
        self._file = BytesIO() if file is None else file
        self._hash = hashlib.sha256()

    def restart(self) -> None:
        """Forget what came so far."""
        self._file.seek(0)
        self._file.truncate()
        self.size, self._hash = 0, hashlib.sha256()

    def write(self, piece: bytes) -> bool:
        """Take more bytes; whether it may take still more.

        Raises
        ------
        UnwritableError
            If the file cannot take them.
        """
        if self._most is not None:
            piece = piece[: self._most + 1 - self.size]
        try:
            self._file.write(piece)
        except OSError as error:
            raise UnwritableError(error.strerror or str(error)) from error
        self._hash.update(piece)
        self.size += len(piece)
        return self._most is None or self.size <= self._most

    def is_whole(self, entry: Entry) -> bool:
        """Whether what came is the object that a manifest tells."""
        return self.size == entry.size and self._hash.hexdigest() == entry.sha256

    def data(self) -> bytes:
        """What came, if it went into memory."""
        return self._file.getvalue() if isinstance(self._file, BytesIO) else b""
