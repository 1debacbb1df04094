"""Objects on a local disk."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gradstore.errors import CorruptError, GradstoreError, StoreWriteError
from gradstore.storage.disk import Disk, sync_folder
from gradstore.storage.folder import Entry, Folder
from gradstore.storage.lock import FileLock
from gradstore.storage.writing import writing

__all__ = ["LocalFolder"]


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn the system's refusal into one line."""
    try:
        yield
    except GradstoreError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CorruptError(
                f"{path} is a link that goes in a circle: restore it from a copy of the store"
            ) from None
        raise GradstoreError(f"cannot read {path}: {error.strerror or error}") from error


class LocalFolder(Folder):
    """A folder on this machine, or on a file system that it has mounted.

    Parameters
    ----------
    root : Path
        The folder; need not exist.
    boundary : Path, optional
        Resolved folder that no symbolic link may leave: the store.
    disk : Disk, optional
        What publishes in the store.
    """

    def __init__(self, root: Path, boundary: Path | None = None, disk: Disk | None = None) -> None:
        self.root = root
        self.boundary = boundary or root.resolve()
        self._disk = disk or Disk(root)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root

    @property
    def writable(self) -> bool:
        """Whether this process may write to it."""
        return os.access(self.root, os.W_OK)

    def at(self, name: str) -> LocalFolder:
        """A folder inside this one."""
        return LocalFolder(self.root / name, self.boundary, self._disk)

    def locate(self, name: str = "") -> Path:
        """Where an object is or would be.

        Raises
        ------
        CorruptError
            If ``..`` or a symbolic link leads out of the store.
        """
        path = self.root / name
        try:
            real = os.path.realpath(path)
        except (OSError, ValueError):  # names that are none
            real = ""
        limit = str(self.boundary)
        if real != limit and not real.startswith(limit.rstrip(os.sep) + os.sep):
            raise CorruptError(f"{path} leads out of the store; a store must not link to other folders")
        return path

    def get(self, name: str) -> bytes | None:
        """All bytes of an object; None if there is no such object."""
        path = self.locate(name)
        with _reading(path):
            found = _status(path)
            if found is None:
                return None
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # reading it might never end
                raise CorruptError(f"{path} is no file: a store holds files and folders only")
            try:
                return path.read_bytes()
            except FileNotFoundError:  # this very moment
                return None

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""
        path = self.locate(name)
        with _reading(path):
            found = _status(path)
        return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None

    def names(self, name: str = "") -> list[str]:
        """Sorted names of what lies directly in a folder; empty if there is no such folder."""
        path = self.locate(name)
        with _reading(path):
            try:
                return sorted(entry.name for entry in path.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def files(self) -> Iterator[str]:
        """Relative names of all files below, sorted folder by folder; links are not followed."""
        for place, folders, names in os.walk(self.root):
            folders.sort()
            below = Path(place).relative_to(self.root)
            links = [folder for folder in folders if (Path(place) / folder).is_symlink()]
            yield from ((below / name).as_posix() for name in sorted(names + links))

    def fetch(self, name: str, entry: Entry) -> bytes | None:  # noqa: ARG002
        """All bytes of an object; None if there is no such object."""
        return self.get(name)

    def file(self, name: str, entry: Entry) -> Path | None:  # noqa: ARG002
        """The object's own file; None if there is none."""
        path = self.locate(name)
        with _reading(path):
            found = _status(path)
        return path if found is not None and stat.S_ISREG(found.st_mode) else None

    def absent(self, name: str, entry: Entry) -> bool:  # noqa: ARG002
        """Never: all is here."""
        return False

    def put(self, name: str, data: bytes) -> None:
        """Publish an object: a reader sees the old bytes or all the new ones, and they survive a power cut.

        On one machine a lock sees to it that no two processes publish one object at a time; on a file system whose
        locks do not reach other machines they may, and then both must bring the same bytes.

        Raises
        ------
        StoreWriteError
            If the system refuses.
        """
        self.put_in_order([{name: data}])

    def put_in_order(self, groups: Iterable[Mapping[str, bytes]]) -> None:
        """Publish groups of objects, each group when the one before it is durable.

        Raises
        ------
        StoreWriteError
            If the system refuses; some objects may be published, and none before those of an earlier group.
        """
        self._disk.publish({self.locate(name): data for name, data in each.items()} for each in groups)

    def create(self, name: str, data: bytes) -> None:
        """Publish an object that is never changed; a lock keeps other processes of this machine away meanwhile.

        Raises
        ------
        StoreWriteError
            If one with other bytes is there, or the system refuses.
        """
        found = self.get(name)
        if found is None:
            self.put(name, data)
        elif found != data:
            raise StoreWriteError(
                f"{self.where(name)} was published by another process: run the same command again"
            )

    def make(self) -> None:
        """Create this folder and its parents, durably."""
        self._disk.make(self.locate())

    def replace(self, fresh: str, name: str) -> None:
        """Rename a folder, after moving the one in its place out of the way."""
        replaced = f".{name}.old"
        self.delete(replaced)
        if name in self.names():
            self._rename(name, replaced)
        self._rename(fresh, name)
        self.delete(replaced)

    def _rename(self, old: str, new: str) -> None:
        source, target = self.locate(old), self.locate(new)
        with writing(target):
            source.replace(target)
        self._disk.forget()
        sync_folder(target.parent)

    def delete(self, name: str) -> None:
        """Remove an object or a whole folder; nothing happens if there is none."""
        path = self.locate(name)
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
            else:
                return
        self._disk.forget()
        sync_folder(path.parent)

    def lock(self, name: str, busy: str | None = None) -> FileLock:
        """Take a lock; if another process has it, wait, or fail with the message `busy`."""
        path = self.locate(name)
        self.make()
        return FileLock(path, busy)

    def attempt(self, name: str) -> FileLock | None:
        """Take a lock; None if another has it, in this process or in another."""
        path = self.locate(name)
        self.make()
        return FileLock.attempt(path)
