"""What a system's refusal to write means to a user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from gradstore.errors import GradstoreError, StoreWriteError

__all__ = ["writing"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing(path: object) -> Iterator[None]:
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
