"""Remote folders that can only be read."""

from __future__ import annotations

from abc import abstractmethod
from typing import NoReturn

from gradstore.errors import StoreWriteError
from gradstore.storage.kept import RemoteFolder

__all__ = ["ReadOnlyFolder"]


class ReadOnlyFolder(RemoteFolder):
    """A folder on a server that takes no writes; every attempt is a `StoreWriteError`."""

    @property
    def writable(self) -> bool:
        """Never."""
        return False

    @abstractmethod
    def at(self, name: str) -> ReadOnlyFolder:
        """A folder inside this one."""

    def put(self, name: str, data: bytes) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def create(self, name: str, data: bytes) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def make(self) -> None:
        """Refuse."""
        self._refuse()

    def replace(self, fresh: str, name: str) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def delete(self, name: str) -> None:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def lock(self, name: str, busy: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def attempt(self, name: str) -> NoReturn:  # noqa: ARG002
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreWriteError(
            f"{self} can only be read: write to a folder or a bucket, such as an overlay on it "
            f"(`gradstore store new MINE --on {self}`)"
        )
