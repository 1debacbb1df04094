"""Objects in a repository of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from gradstore.errors import GradstoreError
from gradstore.storage.cache import Cache
from gradstore.storage.faults import Fault
from gradstore.storage.kept import joined
from gradstore.storage.patience import PATIENCE, Patience, Persistence
from gradstore.storage.readonly import ReadOnlyFolder
from gradstore.storage.receiver import PIECE, Receiver
from gradstore.storage.redaction import Secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["HubFolder"]

T = TypeVar("T")
_CLIENTS = ("httpx", "httpx2")
"""What huggingface_hub speaks HTTP with; it lets their errors through, and their names change with its versions."""
_REFUSED = (401, 403)
_PASSING = (408, 429)


class HubFolder(ReadOnlyFolder):
    """A folder of a repository, asked through fsspec.

    Parameters
    ----------
    system : AbstractFileSystem
        Of huggingface_hub; keeps no listings.
    prefix : str
        ``datasets/USER/REPOSITORY[@REVISION]/FOLDER``.
    """

    def __init__(
        self,
        system: AbstractFileSystem,
        prefix: str,
        cache: Cache,
        secrets: Secrets,
        persist: Persistence | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        super().__init__(cache)
        self._system, self._prefix, self._secrets = system, prefix, secrets
        self._persist = persist or Persistence(f"hf://{prefix}", patience)

    def __str__(self) -> str:
        return f"hf://{self._prefix}"

    def at(self, name: str) -> HubFolder:
        """A folder inside this one."""
        return HubFolder(self._system, self._key(name), self.cache, self._secrets, self._persist)

    def get(self, name: str) -> bytes | None:
        """All bytes of an object; None if there is no such object."""
        key = self._key(name)
        return self._read(name, lambda: bytes(self._system.cat_file(key)))

    def download(self, name: str, receiver: Receiver) -> bool:
        """Hand an object over."""
        key = self._key(name)

        def operation() -> bool:
            receiver.restart()
            with self._system.open(key, "rb", block_size=0) as file:  # as a stream
                while (piece := file.read(PIECE)) and receiver.write(piece):
                    pass
            return True

        return bool(self._read(name, operation))

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""
        key = self._key(name)
        info = self._read(name, lambda: self._system.info(key))
        return int(info["size"]) if info is not None and info["type"] == "file" else None

    def names(self, name: str = "") -> list[str]:
        """Sorted names of what lies directly in a folder; empty if there is no such folder."""
        key = self._key(name)
        paths = self._read(name, lambda: self._system.ls(key, detail=False)) or []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    def files(self) -> Iterator[str]:
        """Relative names of all objects below."""
        paths = self._read("", lambda: self._system.find(self._prefix)) or []
        # The file system may write the revision otherwise than the location does: what counts is the end.
        folder = self._system._strip_protocol(self._prefix).strip("/")
        yield from sorted(path.strip("/").removeprefix(folder).strip("/") for path in paths)

    def _key(self, name: str) -> str:
        return joined(self._prefix, name)

    def _read(self, name: str, operation: Callable[[], T]) -> T | None:
        def quiet() -> T | Fault | None:
            try:
                return operation()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            except (ValueError, NotImplementedError):
                return Fault(False, False, "write hf://datasets/USER/REPOSITORY/FOLDER")
            except Exception as error:
                if (
                    not isinstance(error, OSError)
                    and type(error).__module__.partition(".")[0] not in _CLIENTS
                ):
                    raise
                return self._fault(error)

        result = self._persist(quiet)
        if isinstance(result, Fault):
            raise GradstoreError(f"cannot read {self.where(name)}: {result.line}")
        return result

    def _fault(self, error: Exception) -> Fault:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if status is None:
            return Fault(
                True, False, "no answer from the hub: check the network, HF_ENDPOINT and HF_HUB_OFFLINE"
            )
        if status in _REFUSED:
            return Fault(
                False, True, f"the hub answered {status}: check HF_TOKEN and what it gives a right to"
            )
        line = f"the hub answered {status}"
        return Fault(status >= 500 or status in _PASSING, True, line)
