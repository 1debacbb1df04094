"""Objects on a web server, which can be read but not listed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from gradstore.errors import CorruptError, StoreNotFoundError
from gradstore.storage.bucket import MANIFEST
from gradstore.storage.cache import Cache
from gradstore.storage.client import Client
from gradstore.storage.index import INDEX, LARGEST_INDEX, Index, parse_index
from gradstore.storage.kept import joined
from gradstore.storage.readonly import ReadOnlyFolder
from gradstore.storage.receiver import Receiver

__all__ = ["WebFolder"]

_MOMENT = 2.0
_LARGEST = 1 << 30
"""Bytes of an object of which nothing is known beforehand."""


class Listing:
    """The ``index.json`` of a location, kept for a moment: a store is listed folder by folder."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._index: Index | None = None
        self._read = 0.0

    def index(self) -> Index:
        """The listing, not older than two seconds.

        Raises
        ------
        StoreNotFoundError
            If the location has none.
        """
        if self._index is None or time.monotonic() - self._read > _MOMENT:
            found = self._client.get(INDEX, LARGEST_INDEX)
            where = f"{self._client.root}{INDEX}"
            if found is None:
                raise StoreNotFoundError(
                    f"{where} is missing, and a web server cannot be listed: write it with `gradstore store card` on "
                    "the store, and copy it there"
                )
            self._index, self._read = parse_index(found.data, where), time.monotonic()
        return self._index


class WebFolder(ReadOnlyFolder):
    """A folder below a URL; what lies in it is said by the ``index.json`` of the location that was opened.

    Parameters
    ----------
    client : Client
        Of that location.
    cache : Cache
    prefix : str
        Where the folder is below the location.
    """

    def __init__(
        self, client: Client, cache: Cache, prefix: str = "", listing: Listing | None = None
    ) -> None:
        super().__init__(cache)
        self._client, self._prefix = client, prefix
        self._listing = listing or Listing(client)

    def __str__(self) -> str:
        return f"{self._client.root}{self._prefix}".rstrip("/")

    def at(self, name: str) -> WebFolder:
        """A folder inside this one."""
        return WebFolder(self._client, self.cache, joined(self._prefix, name), self._listing)

    def get(self, name: str) -> bytes | None:
        """All bytes of an object; None if there is no such object."""
        found = self._client.get(joined(self._prefix, name), _LARGEST)
        if found is None:
            return None
        if len(found.data) > _LARGEST:
            raise CorruptError(f"{self.where(name)} is larger than 1 GiB, which nothing in a store is")
        return found.data

    def download(self, name: str, receiver: Receiver) -> bool:
        """Hand an object over."""
        return self._client.download(joined(self._prefix, name), receiver) is not None

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""
        stat = self._client.head(joined(self._prefix, name))
        return None if stat is None else stat.size

    def names(self, name: str = "") -> list[str]:
        """Sorted names of the groups and manifests directly in a folder.

        Raises
        ------
        StoreNotFoundError
            If the location has no ``index.json``.
        """
        return self._listing.index().names(joined(self._prefix, name))

    def files(self) -> Iterator[str]:
        """Relative names of groups, manifests and what these list."""
        for name in self._listing.index().files(self._prefix):
            yield name
            folder, _, last = name.rpartition("/")
            if last == MANIFEST:
                yield from (f"{folder}/{each}".lstrip("/") for each in self._listed(name))

    def _listed(self, name: str) -> list[str]:
        try:
            objects = json.loads(self.get(name) or b"{}").get("objects", {})
        except (ValueError, AttributeError):
            raise CorruptError(
                f"{self.where(name)} is no manifest: restore it from a copy of the store"
            ) from None
        return sorted(objects)
