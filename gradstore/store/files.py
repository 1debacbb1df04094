"""Objects on a local disk: each is published whole and durably, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradstore.errors import CorruptError, GradstoreError, StoreWriteError

__all__ = ["Folder", "writing"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal into one line that says what to do."""
    try:
        yield
    except GradstoreError:
        raise
    except OSError as error:
        when = ""
        if error.errno in _NO_ROOM:
            when = " once there is room"
        elif error.errno in _NO_RIGHT:
            when = " once the folder is writable"
        raise StoreWriteError(
            f"cannot write {path}: {error.strerror or error}; nothing is lost: run the same command again{when}"
        ) from error


def _sync_folder(path: Path) -> None:
    """Make the entries of a folder durable; without it a rename may be lost with the power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


class Folder:
    """A folder of objects named by relative paths with ``/``.

    Parameters
    ----------
    root : Path
        The folder; need not exist.
    boundary : Path, optional
        Resolved folder that no symbolic link may leave: the store.
    """

    def __init__(self, root: Path, boundary: Path | None = None) -> None:
        self.root = root
        self.boundary = boundary or root.resolve()

    def __str__(self) -> str:
        return str(self.root)

    def at(self, name: str) -> Folder:
        """A folder inside this one."""
        return Folder(self.root / name, self.boundary)

    def path(self, name: str = "") -> Path:
        """Where an object is or would be.

        Raises
        ------
        CorruptError
            If ``..`` or a symbolic link leads out of the store.
        """
        path = self.root / name
        try:
            inside = path.resolve().is_relative_to(self.boundary)
        except (OSError, RuntimeError):  # links that go round in a circle
            inside = False
        if not inside:
            raise CorruptError(f"{path} leads out of the store; a store must not link to other folders")
        return path

    def get(self, name: str) -> bytes | None:
        """All bytes of an object; None if there is no such object."""
        path = self.path(name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise GradstoreError(f"cannot read {path}: {error.strerror or error}") from error

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is no such object."""
        path = self.path(name)
        return path.stat().st_size if path.is_file() else None

    def names(self, name: str = "") -> list[str]:
        """Sorted names of what lies directly in a folder; empty if there is no such folder."""
        path = self.path(name)
        try:
            return sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise GradstoreError(f"cannot read {path}: {error.strerror or error}") from error

    def files(self) -> Iterator[str]:
        """Relative names of all files below, sorted folder by folder; links are not followed."""
        for place, folders, names in os.walk(self.root):
            folders.sort()
            below = Path(place).relative_to(self.root)
            links = [folder for folder in folders if (Path(place) / folder).is_symlink()]
            yield from ((below / name).as_posix() for name in sorted(names + links))

    def put(self, name: str, data: bytes) -> None:
        """Publish an object: a reader sees the old bytes or all the new ones, and they survive a power cut.

        The temporary file's name is fixed, so that what a killed run leaves is overwritten by the next. On one machine
        a lock sees to it that no two processes publish one object at a time; on a file system whose locks do not
        reach other machines they may, and then both must bring the same bytes.

        Raises
        ------
        StoreWriteError
            If the system refuses.
        """
        path = self.path(name)
        temporary = path.with_name(f".{path.name}.tmp")
        with writing(path):
            _make_folder(path.parent)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    temporary.replace(path)
                except FileNotFoundError:  # published by another machine, which used our temporary file
                    if not path.is_file() or path.read_bytes() != data:
                        raise
            except OSError:
                with suppress(OSError):
                    temporary.unlink()
                raise
            _sync_folder(path.parent)

    def make(self) -> None:
        """Create this folder and its parents, durably."""
        path = self.path()
        with writing(path):
            _make_folder(path)

    def rename(self, old: str, new: str) -> None:
        """Rename an object or a folder within this folder."""
        source, target = self.path(old), self.path(new)
        with writing(target):
            source.replace(target)
            _sync_folder(target.parent)

    def delete(self, name: str) -> None:
        """Remove an object or a whole folder; nothing happens if there is none."""
        path = self.path(name)
        with writing(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
            else:
                return
            _sync_folder(path.parent)
