"""Objects in a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradstore.errors import StoreWriteError
from gradstore.storage.cache import Cache
from gradstore.storage.client import Client
from gradstore.storage.kept import RemoteFolder, joined
from gradstore.storage.lease import Lease, Leases, Timing
from gradstore.storage.receiver import Receiver

__all__ = ["BucketFolder", "bucket_folder"]

MANIFEST = "manifest.json"
"""What makes a folder readable: written last and removed first."""
CLOCK = ".-clock.lock"
"""Named like a lock, but like that of nothing in a store."""


def bucket_folder(client: Client, prefix: str, cache: Cache, timing: Timing) -> BucketFolder:
    """The folder at a location."""
    return BucketFolder(client, prefix, cache, Leases(client, joined(prefix, CLOCK), timing))


class BucketFolder(RemoteFolder):
    """A prefix of a bucket; made by `bucket_folder`.

    A bucket has no folders: a prefix is there while there is an object below it.
    """

    def __init__(self, client: Client, prefix: str, cache: Cache, leases: Leases) -> None:
        super().__init__(cache)
        self._client, self._prefix, self._leases = client, prefix, leases

    def __str__(self) -> str:
        return f"{self._client.root}{self._prefix}".rstrip("/")

    @property
    def writable(self) -> bool:
        """Whether the bucket is, only trying can tell."""
        return True

    def at(self, name: str) -> BucketFolder:
        """A folder inside this one."""
        return BucketFolder(self._client, self._key(name), self.cache, self._leases)

    def get(self, name: str) -> bytes | None:
        """All bytes of an object; None if there is no such object."""
        found = self._client.get(self._key(name))
        return None if found is None else found.data

    def download(self, name: str, receiver: Receiver) -> bool:
        """Hand an object over."""
        return self._client.download(self._key(name), receiver) is not None

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""
        stat = self._client.head(self._key(name))
        return None if stat is None else stat.size

    def names(self, name: str = "") -> list[str]:
        """Sorted names of what lies directly in a folder; empty if there is none."""
        return self._client.folder(self._key(name))

    def files(self) -> Iterator[str]:
        """Relative names of all objects below."""
        yield from self._below("")

    def put(self, name: str, data: bytes) -> None:
        """Publish an object; a bucket has it whole and durably once it has answered."""
        self._client.put(self._key(name), data)

    def create(self, name: str, data: bytes) -> None:
        """Publish an object that is never changed.

        Raises
        ------
        StoreWriteError
            If another one is there, or the system refuses.
        """
        key = self._key(name)
        if self._client.create(key, data) is None:
            found = self._client.get(key)
            if found is None or found.data != data:  # after a lost answer it is there, and is ours
                raise StoreWriteError(
                    f"{self.where(name)} was published by another process: run the same command again"
                )

    def make(self) -> None:
        """Nothing: a bucket has no folders."""

    def replace(self, fresh: str, name: str) -> None:
        """Copy a sealed folder to the place of another.

        Killed at any moment, this leaves the old one, the new one, or one without a manifest while `fresh` has its own.
        """
        new = self.at(fresh)._below("")
        self._client.delete([self._key(f"{name}/{MANIFEST}")])
        self._delete(f"{name}/{each}" for each in self.at(name)._below("") if each not in new)
        for each in sorted(new, key=lambda each: (each == MANIFEST, each)):
            self._client.copy(self._key(f"{fresh}/{each}"), self._key(f"{name}/{each}"))
        self.delete(fresh)

    def delete(self, name: str) -> None:
        """Remove an object, or all below a prefix, its manifest first."""
        below = self.at(name)._below("")
        if MANIFEST in below:
            self._client.delete([self._key(f"{name}/{MANIFEST}")])
        self._delete([name, *(f"{name}/{each}" for each in below if each != MANIFEST)])

    def lock(self, name: str, busy: str | None = None) -> Lease:
        """Take a lease; if another process has it, wait, or fail with the message `busy`."""
        return self._leases.wait(self._key(name), busy)

    def attempt(self, name: str) -> Lease | None:
        """Take a lease; None if another has it."""
        return self._leases.attempt(self._key(name))

    def _delete(self, names: Iterable[str]) -> None:
        self._client.delete([self._key(name) for name in names])

    def _key(self, name: str) -> str:
        return joined(self._prefix, name)

    def _below(self, name: str) -> list[str]:
        prefix = self._key(name)
        return [key.removeprefix(f"{prefix}/") if prefix else key for key in self._client.below(prefix)]
