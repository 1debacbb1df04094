"""Files and folders that appear only when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gradstore.errors import StoreWriteError

__all__ = ["new_file", "new_folder"]


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
def new_folder(place: Path) -> Iterator[Path]:
    """A folder to fill, which appears at the end.

    Raises
    ------
    StoreWriteError
        If it cannot be written.
    """
    try:
        partial = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        raise StoreWriteError(f"{place} cannot be written: {error.strerror or error}") from error
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(place)
    except OSError as error:
        raise StoreWriteError(f"{place} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
