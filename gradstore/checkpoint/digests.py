"""Digests of weight files, each file read once a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["files_digest"]

_known: dict[tuple[Path, int, int], bytes] = {}


def files_digest(paths: Iterable[Path]) -> str:
    """Digest of the contents of files, in the order given.

    A file is read again only if its time of change or its size differ from those it was read with.
    """
    state = hashlib.sha256()
    for path in paths:
        state.update(_file_digest(path))
    return state.hexdigest()[:32]


def _file_digest(path: Path) -> bytes:
    real = path.resolve()
    status = real.stat()
    key = (real, status.st_mtime_ns, status.st_size)
    if key not in _known:
        with real.open("rb") as file:
            _known[key] = hashlib.file_digest(file, "sha256").digest()
    return _known[key]
