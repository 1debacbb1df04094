"""Sealed objects of remote stores, kept on this machine by their checksum."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gradstore.errors import CorruptError, GradstoreError, UsageError
from gradstore.storage.folder import Entry

__all__ = ["Cache", "cache_from_environment", "parse_size"]

FOLDER, SIZE = "GRADSTORE_CACHE", "GRADSTORE_CACHE_SIZE"
_DEFAULT_SIZE = 10 * 10**9
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?\s*", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IN_USE = 10.0
"""Seconds for which what was just used stays: another process may be about to open it."""
_ABANDONED = 3600.0
_SHARE = 64
_FILL = 0.9
"""When it is too large, it is emptied to this share of its size."""


class _Kept(NamedTuple):
    used: float
    size: int
    path: Path


class Cache:
    """A folder of objects named by their SHA-256; any number of processes share it, and it may be removed at any time.

    An object comes into it whole and checked, by a rename. When it grows too large, what was used longest ago goes;
    whoever has that open or mapped keeps it.

    Parameters
    ----------
    root : Path
        Made when first needed, for this user only.
    size : int
        Bytes that it may hold; exceeded by what is in use this very moment.
    """

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        self._room = 0  # bytes that may be added before the folder is looked through again

    def find(self, entry: Entry) -> Path | None:
        """The file of an object; None if it is not here. It counts as used."""
        path = self.place(entry)
        try:
            if path.stat().st_size != entry.size:
                return None
            os.utime(path)
        except OSError:
            return None
        return path

    def read(self, entry: Entry) -> bytes | None:
        """Bytes of an object as they are here; None if it is not."""
        path = self.find(entry)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    def keep(self, entry: Entry, data: bytes) -> Path:
        """Keep an object whose checksum was verified.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        with self.arriving(entry) as file:
            file.write(data)
        return self.place(entry)

    @contextmanager
    def arriving(self, entry: Entry) -> Iterator[BinaryIO]:
        """A file that becomes the object at the end of the block; after an error in the block it is gone.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        path = self.place(entry)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._make_room(entry.size)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise

    def drop(self, entry: Entry) -> bool:
        """Remove an object, if it is here; whether it was."""
        path = self.place(entry)
        try:
            path.unlink()
        except OSError:
            return False
        return True

    def place(self, entry: Entry) -> Path:
        """Where an object lies, if it is here."""
        if _SHA256.fullmatch(entry.sha256) is None:
            raise CorruptError("a manifest has a checksum that is none: restore it from a copy of the store")
        return self.root / entry.sha256[:2] / entry.sha256

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago, if need be; other processes fill the folder too, so look now and then."""
        if size <= self._room:
            self._room -= size
            return
        kept = sorted(self._kept())
        total = sum(each.size for each in kept)
        oldest, now = iter(kept), time.time()
        if total + size > self.size:
            for each in oldest:
                if now - each.used < _IN_USE or total + size <= self.size * _FILL:
                    break
                with suppress(OSError):
                    each.path.unlink()
                total -= each.size
        self._room = max(0, min(self.size - total - size, self.size // _SHARE))

    def _kept(self) -> list[_Kept]:
        """All files here; what killed processes began is removed on the way."""
        found = []
        for path in self.root.glob("??/*"):
            try:
                stat = path.stat()
                if path.name.startswith("."):
                    if time.time() - stat.st_mtime > _ABANDONED:
                        path.unlink()
                    continue
            except OSError:  # removed by another process meanwhile
                continue
            found.append(_Kept(stat.st_mtime, stat.st_size, path))
        return found


def cache_from_environment() -> Cache:
    """The cache that the environment describes.

    Raises
    ------
    UsageError
        If ``GRADSTORE_CACHE_SIZE`` is no size.
    GradstoreError
        If there is no home folder to put it in.
    """
    given = os.environ.get(FOLDER)
    try:
        root = Path(given).expanduser() if given else _default_folder()
    except RuntimeError:
        raise GradstoreError(
            f"this user has no home folder: set {FOLDER} to a folder for the cache"
        ) from None
    size = os.environ.get(SIZE)
    return Cache(root, parse_size(size, SIZE) if size else _DEFAULT_SIZE)


def parse_size(text: str, what: str) -> int:
    """Bytes that a text such as ``500 MB`` means.

    Parameters
    ----------
    text : str
    what : str
        What it is the value of, for the message.

    Raises
    ------
    UsageError
        If it is no size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"{what} is a size such as 20GB or 500MB, not {text!r}")
    return int(float(found.group(1)) * _UNITS[found.group(2).lower()])


def _default_folder() -> Path:
    """Where programs keep what they can get again: as the platform has it."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "gradstore"
