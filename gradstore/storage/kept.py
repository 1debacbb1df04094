"""What all remote folders have in common: sealed objects are kept on this machine once they were read."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from gradstore.errors import CorruptError, GradstoreError
from gradstore.storage.cache import FOLDER, Cache
from gradstore.storage.folder import Entry, Folder

__all__ = ["RemoteFolder", "joined"]

_TRIES = 4
"""Downloads of an object whose bytes arrive damaged."""


class RemoteFolder(Folder):
    """A folder that is not on this machine.

    Parameters
    ----------
    cache : Cache
        Where sealed objects are kept.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    @abstractmethod
    def download(self, name: str, most: int) -> bytes | None:
        """An object as it is now, or its first `most` bytes and one more; None if there is no such object."""

    def fetch(self, name: str, entry: Entry) -> bytes | None:
        """Bytes of a sealed object, kept or downloaded; what is kept is compared in size only."""
        data = self.cache.read(entry)
        if data is None:
            data = self._sound(name, entry)
            if data is not None and _is(data, entry):
                with suppress(OSError):  # no room, no right to write: only slower
                    self.cache.keep(entry, data)
        return data

    def file(self, name: str, entry: Entry) -> Path | None:
        """The file in the cache, downloaded if need be; None if there is no such object.

        Raises
        ------
        CorruptError
            If what is downloaded does not match the manifest.
        GradstoreError
            If the cache cannot be written.
        """
        path = self.cache.find(entry)
        if path is not None:
            return path
        data = self._sound(name, entry)
        if data is None:
            return None
        if not _is(data, entry):
            raise CorruptError(
                f"{self.where(name)} does not match its manifest: restore it from a copy of the store"
            )
        try:
            return self.cache.keep(entry, data)
        except OSError as error:
            raise GradstoreError(
                f"cannot keep {self.where(name)} in the cache {self.cache.root}: {error.strerror or error}; set "
                f"{FOLDER} to a folder that is writable and has room"
            ) from error

    def absent(self, name: str, entry: Entry) -> bool:  # noqa: ARG002
        """Whether it is not in the cache."""
        return self.cache.find(entry) is None

    def forget(self, entry: Entry) -> bool:
        """Remove a damaged object from the cache."""
        return self.cache.drop(entry)

    def _sound(self, name: str, entry: Entry) -> bytes | None:
        """Download an object, again if its bytes are not those of the manifest; the last ones if they never are."""
        data = None
        for _ in range(_TRIES):
            data = self.download(name, entry.size)
            if data is None or _is(data, entry):
                break
        return data


def joined(prefix: str, name: str) -> str:
    """The key of an object.

    Raises
    ------
    CorruptError
        If a name, which may come from what others have written, leads out of the folder.
    """
    parts = name.split("/") if name else []
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise CorruptError(
            f"{prefix or '.'}/{name!r} leads out of the store; a store must not name what lies elsewhere"
        )
    return "/".join([prefix, *parts] if prefix else parts)


def _is(data: bytes, entry: Entry) -> bool:
    return len(data) == entry.size and hashlib.sha256(data).hexdigest() == entry.sha256
