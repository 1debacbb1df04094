"""Locks that die with their process."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Self

from gradstore.errors import StoreWriteError
from gradstore.storage.telling import told_meanwhile
from gradstore.storage.writing import writing

__all__ = ["FileLock"]


class FileLock:
    """An exclusive ``flock`` on a file that is removed when released.

    The system drops the lock when its process dies; the file that a killed process leaves locks nothing.

    Parameters
    ----------
    path : Path
        The lock file; its folder exists.
    busy : str, optional
        Message of the error if another process holds the lock; without it, wait.

    Raises
    ------
    StoreWriteError
        If the lock is held and `busy` is given, or the file cannot be made.
    """

    def __init__(self, path: Path, busy: str | None = None) -> None:
        self._path = path
        with writing(self._path):
            while not self._acquire(busy):
                pass  # the holder removed the file between our open and our lock
        _held.add(self)

    @classmethod
    def attempt(cls, path: Path) -> Self | None:
        """The lock; None if another holds it, in this process or in another."""
        try:
            return cls(path, "held")
        except _HeldError:
            return None

    def _acquire(self, busy: str | None) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows reads stores, and does not write them
            raise StoreWriteError(f"cannot write {self._path.parent}: this system has no flock") from None
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if busy:
                    raise
                with told_meanwhile(f"waiting for {self._path}: another process has it"):
                    fcntl.flock(self._handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(self._handle), self._path.stat()):
                return True
        except BlockingIOError:
            os.close(self._handle)
            raise _HeldError(busy) from None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(self._handle)
            raise
        os.close(self._handle)
        return False

    def release(self) -> None:
        """Remove the file, then let go."""
        if self._handle >= 0:
            with suppress(OSError):
                self._path.unlink()
            self.disown()

    def disown(self) -> None:
        """Close the file without removing it."""
        os.close(self._handle)
        self._handle = -1
        _held.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _HeldError(StoreWriteError):
    """Another process holds the lock."""


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _disown_all() -> None:
    for lock in list(_held):
        lock.disown()


# A forked child has its parent's locks too, and would keep them when the parent is killed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
