"""New files and folders that appear only when they are complete, and never in the place of others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradstore.errors import StoreWriteError, UsageError

__all__ = ["fresh_file", "fresh_folder"]


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
    _refuse(place)
    with _refusals(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            partial.chmod(0o777 & ~_umask())
            yield partial
            _refuse(place)
            partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def fresh_file(place: Path) -> Iterator[Path]:
    """Give the name of a temporary file that takes the name `place` at the end; otherwise like `fresh_folder`."""
    _refuse(place)
    with _refusals(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            partial = folder / place.name
            yield partial
            _refuse(place)
            partial.rename(place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _refusals(place: Path) -> Iterator[None]:
    try:
        yield
    except StoreWriteError:
        raise
    except OSError as error:
        raise StoreWriteError(f"{place} cannot be written: {error.strerror or error}") from error


def _refuse(place: Path) -> None:
    if os.path.lexists(place):
        raise UsageError(f"{place} exists and is not overwritten: choose another path, or remove it")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
