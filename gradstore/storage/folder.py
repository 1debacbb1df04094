"""A folder of objects, wherever it is: what the store asks of a disk, a bucket or a web server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, Self

__all__ = ["Entry", "Folder", "Lock"]


class Entry(Protocol):
    """What is known of an object before it is read."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """Hexadecimal."""


class Lock(Protocol):
    """The sole right to something, until it is released or its process is gone; a context manager."""

    def release(self) -> None:
        """Let others have it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Folder(ABC):
    """Objects named by relative paths with ``/``; each is published whole and durably, or not at all.

    Its text is where it is, without secrets. All methods raise a `GradstoreError` of one line where the disk, the
    network or the rights fail; a name that leads out of the store is a `CorruptError`.
    """

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether this process may write to it, as far as can be known without trying."""

    @property
    def path(self) -> Path | None:
        """Where it is on this machine's disk; None if it is elsewhere."""
        return None

    def where(self, name: str) -> str:
        """How a message calls an object."""
        return f"{self}/{name}"

    @abstractmethod
    def at(self, name: str) -> Folder:
        """A folder inside this one."""

    @abstractmethod
    def get(self, name: str) -> bytes | None:
        """All bytes of an object as it is now; None if there is no such object."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""

    @abstractmethod
    def names(self, name: str = "") -> list[str]:
        """Sorted names of what lies directly in a folder; empty if there is no such folder."""

    @abstractmethod
    def files(self) -> Iterator[str]:
        """Relative names of all objects below, sorted folder by folder."""

    @abstractmethod
    def fetch(self, name: str, entry: Entry) -> bytes | None:
        """Bytes of a sealed object, perhaps from a copy kept from an earlier read; the caller checks them."""

    @abstractmethod
    def file(self, name: str, entry: Entry) -> Path | None:
        """A file on this machine that holds a sealed object, for mapping; None if there is no such object.

        Elsewhere objects are downloaded first, and checked against `entry`.
        """

    @abstractmethod
    def absent(self, name: str, entry: Entry) -> bool:
        """Whether a sealed object must be downloaded before it can be read."""

    def forget(self, entry: Entry) -> bool:  # noqa: ARG002
        """Remove the copy of a sealed object that turned out to be damaged; whether there was one."""
        return False

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Publish an object: a reader sees the old bytes or all the new ones.

        Raises
        ------
        StoreWriteError
            If the system refuses.
        """

    def put_in_order(self, groups: Iterable[Mapping[str, bytes]]) -> None:
        """Publish groups of objects, each group when the one before it is durable; objects of a group in any order.

        Raises
        ------
        StoreWriteError
            If the system refuses; some objects may be published, and none before those of an earlier group.
        """
        for group in groups:
            for name, data in group.items():
                self.put(name, data)

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Publish an object that is never changed, such as a manifest; nothing happens if it is there already.

        Raises
        ------
        StoreWriteError
            If one with other bytes is there, or the system refuses.
        """

    @abstractmethod
    def make(self) -> None:
        """Create this folder and its parents, where folders must be created."""

    @abstractmethod
    def replace(self, fresh: str, name: str) -> None:
        """Put a sealed folder in the place of another, which may not be there.

        At any moment one of the two names has a manifest, and all that this lists.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object or a whole folder; nothing happens if there is none."""

    @abstractmethod
    def lock(self, name: str, busy: str | None = None) -> Lock:
        """Take a lock; if another process has it, wait, or fail with a `StoreWriteError` of the message `busy`."""

    @abstractmethod
    def attempt(self, name: str) -> Lock | None:
        """Take a lock; None if another has it, in this process or in another."""
