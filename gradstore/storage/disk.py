"""Files and folders that survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from gradstore.storage.writing import writing

__all__ = ["Disk", "sync_folder"]

_THREADS = 8
"""What waits for the disk at a time: it then turns once for all."""
_REMEMBERED = 10_000


class Disk:
    """Publishes files below a folder; what returned is durable, under its name, and so are the folders above it.

    Parameters
    ----------
    top : Path
        If it is there, its own place is durable.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._durable: set[Path] = set()  # folders that will be found in those above them

    def make(self, folder: Path) -> None:
        """Create a folder and those above it.

        Raises
        ------
        StoreWriteError
        """
        doubtful = self._create(folder)
        for each in doubtful:
            sync_folder(each.parent)
        self._remember(doubtful)

    def publish(self, groups: Iterable[Mapping[Path, bytes]]) -> None:
        """Publish groups of files, each group when the one before it is durable; files of a group in any order.

        Bytes of all groups go to the disk at once, while later groups are still being made; only names wait.
        A temporary file's name is fixed, so that what a killed run leaves is overwritten by the next.

        Raises
        ------
        StoreWriteError
            If the system refuses; some files may be published, and none before those of an earlier group.
        """
        begun: list[tuple[Mapping[Path, bytes], list[Future[None]]]] = []
        doubtful: list[Path] = []
        try:
            with ThreadPoolExecutor(_THREADS) as threads:
                for files in groups:
                    waits: list[Future[None]] = []
                    begun.append((files, waits))
                    fresh = [folder for path in files for folder in self._create(path.parent)]
                    waits += [threads.submit(_write, path, data) for path, data in files.items()]
                    waits += [
                        threads.submit(sync_folder, each)
                        for each in dict.fromkeys(folder.parent for folder in fresh)
                    ]
                    doubtful += fresh
                for files, waits in begun:
                    for wait in waits:
                        wait.result()
                    for path, data in files.items():
                        _rename(path, data)
                    list(threads.map(sync_folder, dict.fromkeys(path.parent for path in files)))
        except BaseException:
            for path in (path for files, _ in begun for path in files):
                with suppress(OSError):
                    _temporary(path).unlink()
            raise
        self._remember(doubtful)

    def forget(self) -> None:
        """Folders have been removed or renamed."""
        self._durable.clear()

    def _create(self, folder: Path) -> list[Path]:
        """Create a folder and those above it; which of them may not be durable yet, whoever made them."""
        there = folder.is_dir()
        if there and (folder in self._durable or self._top not in folder.parents):
            return []
        above = self._create(folder.parent)
        with writing(folder, begun=self._top in folder.parents):
            folder.mkdir(exist_ok=True)
        return [*above, folder]

    def _remember(self, folders: Iterable[Path]) -> None:
        if len(self._durable) > _REMEMBERED:
            self._durable.clear()
        self._durable.update(folders)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable; without it a rename may be lost with the power.

    Raises
    ------
    StoreWriteError
    """
    with writing(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _write(path: Path, data: bytes) -> None:
    """Make the bytes of a file durable, not yet under its name."""
    with writing(path), _temporary(path).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename(path: Path, data: bytes) -> None:
    with writing(path):
        try:
            _temporary(path).replace(path)
        except FileNotFoundError:  # published by another machine, which used our temporary file
            if not path.is_file() or path.read_bytes() != data:
                raise
