"""From a path or URL to a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from gradstore.errors import UsageError
from gradstore.registry import unknown_name
from gradstore.storage.folder import Folder
from gradstore.storage.local import LocalFolder
from gradstore.storage.redaction import plain

__all__ = ["Location", "open_folder", "same_place", "storage_options"]

Location = str | os.PathLike[str]
"""A path, or the URL of a folder."""

SCHEMES = ("s3", "gs", "az", "hf", "http", "https")

_options: ContextVar[Mapping[str, str]] = ContextVar("storage_options", default=MappingProxyType({}))


@contextmanager
def storage_options(options: Mapping[str, str]) -> Iterator[None]:
    """Open remote folders with these settings, such as ``endpoint`` or ``access_key_id``, inside a ``with`` block.

    They go to the library that opens the location, and win over its environment variables; folders on a disk have none.
    They are kept nowhere and appear in no message.
    """
    token = _options.set({**_options.get(), **options})
    try:
        yield
    finally:
        _options.reset(token)


def open_folder(location: Location) -> Folder:
    """The folder at a path or URL; nothing is read yet.

    Raises
    ------
    UsageError
        If no kind of location begins like this.
    """
    text = os.fspath(location)
    scheme = scheme_of(text)
    if scheme == "file":
        return LocalFolder(Path(text.removeprefix("file://")))
    if not scheme:
        return LocalFolder(Path(text))
    if scheme not in SCHEMES:
        raise UsageError(
            f"location {plain(text)!r}: {unknown_name('kind of location', scheme, ('file', *SCHEMES))}"
        )
    from gradstore.storage.remote import open_remote

    return open_remote(text, _options.get())


def given_options() -> Mapping[str, str]:
    """The settings of the `storage_options` around this; they hold secrets."""
    return _options.get()


def scheme_of(text: str) -> str:
    """What stands before ``://``; empty for a path."""
    scheme, found, _ = text.partition("://")
    return scheme.lower() if found else ""


def same_place(one: Folder, other: Folder) -> bool:
    """Whether two folders are one."""
    if one.path is not None and other.path is not None:
        return one.path.resolve() == other.path.resolve()
    return str(one) == str(other)
