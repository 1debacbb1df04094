"""Opens buckets and web servers."""

from __future__ import annotations

from collections.abc import Mapping

from gradstore.errors import UsageError
from gradstore.storage.folder import Folder

__all__ = ["open_remote"]


def open_remote(url: str, options: Mapping[str, str]) -> Folder:
    """The folder at a URL."""
    raise UsageError(f"{url}: {len(options)}")
