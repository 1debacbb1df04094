"""What a system's refusal to write means to a user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradstore.errors import GradstoreError, StoreWriteError

__all__ = ["writing"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR)


@contextmanager
def writing(path: object, *, begun: bool = True) -> Iterator[None]:
    """Turn the system's refusal into one line that says what to do.

    Parameters
    ----------
    path : path
    begun : bool
        False while the folder itself is made: then there is nothing that the same command could go on with.
    """
    try:
        yield
    except GradstoreError:
        raise
    except OSError as error:
        if error.errno in _NO_FOLDER and (file := _file_above(path)):
            cure = "move it away" if begun else "choose another path"
            raise StoreWriteError(f"{file} is a file, not a folder: {cure}") from error
        if not begun and error.errno not in _NO_ROOM:
            raise StoreWriteError(
                f"cannot make {path}: {error.strerror or error}; choose another path"
            ) from error
        when = ""
        if error.errno in _NO_ROOM:
            when = " once there is room"
        elif error.errno in _NO_RIGHT:
            when = " once the folder is writable"
        raise StoreWriteError(
            f"cannot write {path}: {error.strerror or error}; nothing is lost: run the same command again{when}"
        ) from error


def _file_above(path: object) -> Path | None:
    """What is in the way of a folder."""
    place = Path(str(path))
    return next((each for each in (place, *place.parents) if each.is_file()), None)
