"""Files and folders that appear only when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gradstore.errors import StoreWriteError, UsageError

__all__ = ["fresh_file", "fresh_folder", "new_file"]


@contextmanager
def new_file(place: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of an earlier one at the end.

    Raises
    ------
    StoreWriteError
        If it cannot be written.
    """
    partial = place.parent / f".{place.name}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(place)
    except OSError as error:
        raise StoreWriteError(f"{place} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def fresh_folder(place: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the name `place` at the end, or goes away if anything fails.

    Raises
    ------
    UsageError
        If there is something at `place`.
    StoreWriteError
        If the system refuses, such as on a full disk.
    """
    with _scratch(place) as folder:
        folder.chmod(0o777 & ~_umask())
        yield folder
        _refuse(place)
        folder.rename(place)


@contextmanager
def fresh_file(place: Path) -> Iterator[Path]:
    """Give the name of a temporary file that takes the name `place` at the end; otherwise like `fresh_folder`."""
    with _scratch(place) as folder:
        yield folder / place.name
        _refuse(place)
        (folder / place.name).rename(place)


@contextmanager
def _scratch(place: Path) -> Iterator[Path]:
    """A temporary folder beside `place`; folders that had to be made for it go away too if anything fails."""
    _refuse(place)
    made = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except BaseException as error:
        with suppress(OSError):  # not empty: somebody else uses it
            for parent in made:
                parent.rmdir()
        if isinstance(error, OSError) and not isinstance(error, StoreWriteError):
            raise StoreWriteError(f"{place} cannot be written: {error.strerror or error}") from error
        raise


def _refuse(place: Path) -> None:
    if os.path.lexists(place):
        raise UsageError(f"{place} exists and is not overwritten: choose another path, or remove it")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
