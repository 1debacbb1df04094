"""Every error that gradstore raises on purpose.

Each carries the command line's exit code and also inherits the builtin that a caller would catch.
A message says what is wrong, where, and what to do about it, in one line.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "CorruptError",
    "DataError",
    "GradstoreError",
    "IncompatibleError",
    "IncompleteError",
    "StoreNotFoundError",
    "StoreWriteError",
    "UsageError",
    "first_line",
]


class GradstoreError(Exception):
    """Base of all errors raised by gradstore; ``exit_code`` is what the command line returns."""

    exit_code = 1


class DataError(GradstoreError, ValueError):
    """Input rows that cannot be read: an empty file, a broken line, a missing field, an unknown role."""


class CheckpointError(GradstoreError, ValueError):
    """A checkpoint folder that lacks something needed, such as the optimizer's moments."""


class StoreWriteError(GradstoreError, OSError):
    """The store could not be written: the disk is full, the folder is read-only, another process writes."""


class UsageError(GradstoreError, ValueError):
    """An argument that cannot be right whatever the files hold."""

    exit_code = 2


class StoreNotFoundError(GradstoreError, FileNotFoundError):
    """A path that is no store, or a name that the store does not hold."""

    exit_code = 2


class IncompatibleError(GradstoreError, ValueError):
    """Things that cannot be used together: another model, projection, template, or a newer format."""

    exit_code = 3


class IncompleteError(GradstoreError, RuntimeError):
    """A data set whose extraction has not finished; the message says how to resume it."""

    exit_code = 4


class CorruptError(GradstoreError, RuntimeError):
    """Stored bytes that do not match the manifest."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """What another library's error says, as one line; its type where it says nothing.

    Parameters
    ----------
    error : exception

    Returns
    -------
    str
    """
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
