"""What all remote folders have in common: sealed objects are kept on this machine once they were read."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from pathlib import Path

from gradstore.errors import CorruptError, GradstoreError
from gradstore.storage.cache import FOLDER, Cache
from gradstore.storage.folder import Entry, Folder
from gradstore.storage.receiver import Receiver, UnwritableError

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
    def download(self, name: str, receiver: Receiver) -> bool:
        """Hand an object over piece by piece, from its beginning in each try; False if there is no such object."""

    def fetch(self, name: str, entry: Entry) -> bytes | None:
        """Bytes of a sealed object, kept or downloaded; what is kept is compared in size only."""
        data = self.cache.read(entry)
        if data is not None:
            return data
        receiver = Receiver(entry.size)
        try:
            if self._receive(name, entry, receiver):
                with suppress(OSError):  # no room, no right to write: only slower
                    self.cache.keep(entry, receiver.data())
        except _GoneError:
            return None
        return receiver.data()

    def file(self, name: str, entry: Entry) -> Path | None:
        """The file in the cache, downloaded into it if need be; None if there is no such object.

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
        try:
            with self.cache.arriving(entry) as file:
                if not self._receive(name, entry, Receiver(entry.size, file)):
                    raise CorruptError(
                        f"{self.where(name)} does not match its manifest: restore it from a copy of the store"
                    )
        except _GoneError:
            return None
        except (OSError, UnwritableError) as error:
            reason = getattr(error, "strerror", None) or error
            raise GradstoreError(
                f"cannot keep {self.where(name)} in the cache {self.cache.root}: {reason}; set {FOLDER} to a folder "
                "that is writable and has room"
            ) from error
        return self.cache.place(entry)

    def absent(self, name: str, entry: Entry) -> bool:  # noqa: ARG002
        """Whether it is not in the cache."""
        return self.cache.find(entry) is None

    def forget(self, entry: Entry) -> bool:
        """Remove a damaged object from the cache."""
        return self.cache.drop(entry)

    def _receive(self, name: str, entry: Entry, receiver: Receiver) -> bool:
        """Download an object, again if its bytes are not those of the manifest; whether they are at last."""
        for _ in range(_TRIES):
            if not self.download(name, receiver):
                raise _GoneError
            if receiver.is_whole(entry):
                return True
        return False


class _GoneError(Exception):
    """There is no such object."""


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
