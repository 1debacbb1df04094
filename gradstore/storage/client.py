"""Operations on one bucket or web server through obstore: tried again where that may help, errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gradstore.errors import GradstoreError, StoreWriteError
from gradstore.storage.faults import Fault, fault_of
from gradstore.storage.interruptible import interruptible
from gradstore.storage.patience import PATIENCE, Patience, Persistence
from gradstore.storage.receiver import PIECE, Receiver
from gradstore.storage.redaction import Secrets

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

__all__ = ["Client", "Found", "Stat"]

T = TypeVar("T")
_PIECE = 16 << 20
"""Larger objects are uploaded in pieces of this size, so that one request stays short."""


class Stat(NamedTuple):
    """What a server says of an object.

    Attributes
    ----------
    size : int
        Bytes.
    modified : datetime
        By the server's clock.
    version : UpdateVersion
        For `Client.update`.
    """

    size: int
    modified: datetime
    version: UpdateVersion


class Found(NamedTuple):
    """An object with its bytes."""

    data: bytes
    stat: Stat


class _Missing(NamedTuple):
    """There is no such object."""


class Client:
    """One object store; keys are whole names in it.

    Parameters
    ----------
    store : ObjectStore
        Made without retries of its own: two loops, one inside the other, would multiply their waits.
    root : str
        What messages put before a key.
    secrets : Secrets
        What no message may show.
    """

    def __init__(
        self, store: ObjectStore, root: str, secrets: Secrets, patience: Patience = PATIENCE
    ) -> None:
        self.root = root
        self._store, self._secrets = store, secrets
        self._persist = Persistence(root, patience)

    def get(self, key: str, most: int | None = None) -> Found | None:
        """An object; only its first `most` bytes and one more, if it has more."""
        receiver = Receiver(most)
        stat = self.download(key, receiver)
        return None if stat is None else Found(receiver.data(), stat)

    def download(self, key: str, receiver: Receiver) -> Stat | None:
        """Hand an object over piece by piece; None if there is no such object."""
        import obstore

        def operation() -> Stat | Fault:
            receiver.restart()
            result = obstore.get(self._store, key)
            stat = _stat(result.meta)
            for piece in result.stream(min_chunk_size=PIECE):
                if not receiver.write(bytes(piece)):
                    return stat
            cut = receiver.size != stat.size
            return Fault(True, True, "the connection broke off") if cut else stat

        return self._read(key, operation)

    def head(self, key: str) -> Stat | None:
        """What is known of an object."""
        import obstore

        return self._read(key, lambda: _stat(obstore.head(self._store, key)))

    def put(self, key: str, data: bytes) -> None:
        """Publish an object, whatever is there."""
        import obstore

        large = len(data) > 2 * _PIECE
        self._write(key, lambda: obstore.put(self._store, key, data, use_multipart=large, chunk_size=_PIECE))

    def create(self, key: str, data: bytes) -> UpdateVersion | None:
        """Publish an object if there is none, else return None; so too after a lost answer, when it is there."""
        return self._conditional(key, data, "create")

    def update(self, key: str, data: bytes, version: UpdateVersion) -> UpdateVersion | None:
        """Replace an object if it still is the one of that version, else return None."""
        return self._conditional(key, data, version)

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server."""
        import obstore

        self._write(target, lambda: obstore.copy(self._store, source, target))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is no matter."""
        import obstore

        names = list(keys)

        def operation() -> None:
            try:
                obstore.delete(self._store, names)
            except FileNotFoundError:  # some services tell; the others of the list may still be there
                for name in names:
                    _delete_one(self._store, name)

        if names:
            self._write(names[0], operation)

    def below(self, prefix: str) -> list[str]:
        """Sorted keys of all objects below a prefix."""
        import obstore

        def operation() -> list[str]:
            return sorted(
                each["path"]
                for page in obstore.list(self._store, prefix or None)
                for each in page
                if each["path"] != prefix  # some services keep empty folders as objects
            )

        return self._read(prefix, operation) or []

    def folder(self, prefix: str) -> list[str]:
        """Sorted last names of the objects and folders directly below a prefix."""
        import obstore

        def operation() -> list[str]:
            found = obstore.list_with_delimiter(self._store, prefix or None)
            paths = {*found["common_prefixes"], *(each["path"] for each in found["objects"])}
            return sorted({path.rstrip("/").rpartition("/")[2] for path in paths if path != prefix})

        return self._read(prefix, operation) or []

    def _conditional(self, key: str, data: bytes, mode: PutMode) -> UpdateVersion | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def operation() -> UpdateVersion | None:
            try:
                result = obstore.put(self._store, key, data, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return None
            return _version(result["e_tag"], result["version"])

        return self._write(key, operation)

    def _read(self, key: str, operation: Callable[[], T | Fault]) -> T | None:
        result = self._try(operation)
        if isinstance(result, Fault):
            raise GradstoreError(f"cannot read {self.root}{key}: {result.line}") from _detail(result)
        return None if isinstance(result, _Missing) else result

    def _write(self, key: str, operation: Callable[[], T | Fault]) -> T:
        result = self._try(operation)
        if isinstance(result, _Missing):
            result = Fault(False, True, "the server answered 404: is there such a bucket?")
        if isinstance(result, Fault):
            raise StoreWriteError(
                f"cannot write {self.root}{key}: {result.line}; nothing is lost: run the same command again once "
                "that is mended"
            ) from _detail(result)
        return result

    def _try(self, operation: Callable[[], T | Fault]) -> T | Fault | _Missing:
        """Run an operation; what obstore raises shows URLs and keys, and goes no further than here."""
        from obstore.exceptions import BaseError

        def quiet() -> T | Fault | _Missing:
            try:
                return interruptible(operation)
            except (BaseError, OSError) as error:
                fault = fault_of(str(error))
                if isinstance(error, FileNotFoundError) and fault.line != _NO_BUCKET:
                    return _Missing()
                return fault._replace(detail=self._secrets.hide(str(error)))

        return self._persist(quiet)


_NO_BUCKET = fault_of("status code: 404 <Code>NoSuchBucket</Code>").line


def _detail(fault: Fault) -> OSError | None:
    return OSError(fault.detail) if fault.detail else None


def _stat(meta: Any) -> Stat:
    return Stat(meta["size"], meta["last_modified"], _version(meta["e_tag"], meta["version"]))


def _version(e_tag: str | None, version: str | None) -> UpdateVersion:
    """What tells an object from the next one of its name; services have one of the two, or both."""
    found: UpdateVersion = {}
    if e_tag is not None:
        found["e_tag"] = e_tag
    if version is not None:
        found["version"] = version
    return found


def _delete_one(store: ObjectStore, key: str) -> None:
    import obstore

    try:
        obstore.delete(store, key)
    except FileNotFoundError:
        return
