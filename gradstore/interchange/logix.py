"""Log folders of LogIX: ``log_rank_{r}_chunk_{c}.mmap`` with ``…_metadata.json`` beside each.

Source: ``logix/logging/mmap.py`` and ``log_loader.py`` of logix-project/logix. The description of a file has for each
row its id, where it begins, and the shapes of its modules' gradients, which follow each other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError
from gradstore.interchange.source import Raw, Source, Stacked, member, names_in, read_json

__all__ = ["read_logix"]

_CHUNK = re.compile(r"log_rank_(\d+)_chunk_(\d+)\.mmap", re.ASCII)


def read_logix(path: Path, key: str | None) -> Source:  # noqa: ARG001 (a Reader)
    """A folder of logged gradients; a row that several processes logged is taken once, as LogIX does."""
    if not path.is_dir():
        raise DataError(f"{path}: name the folder that LogIX wrote, not a file of it")
    chunks = sorted(
        (int(chunk[1]), int(chunk[2]), name) for name in names_in(path) if (chunk := _CHUNK.fullmatch(name))
    )
    if not chunks:
        raise DataError(f"{path}: holds no log_rank_…_chunk_….mmap, so LogIX did not write it")
    ids: dict[str, None] = {}
    pieces, paths, repeated = [], [], 0
    for _, _, name in chunks:
        about = member(path, name.replace(".mmap", "_metadata.json"))
        entries = read_json(about)
        try:
            rows, order = _rows(member(path, name), entries)
            names = [str(entry["data_id"]) for entry in entries]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{about}: does not describe a log of LogIX ({type(error).__name__})") from None
        kept = []
        for row, each in enumerate(names):
            if each not in ids:
                kept.append(row)
                ids[each] = None
        repeated += len(names) - len(kept)
        paths.append(order)
        if kept:
            pieces.append(_Kept(rows, np.array(kept)))
    if any(order != paths[0] for order in paths):
        raise DataError(f"{path}: its files list the modules in different orders: they are not of one run")
    notes = (f"{repeated:,} rows were logged more than once and are taken once",) if repeated else ()
    return Source(Stacked(pieces, path), "logix", path, {"ids": list(ids)}, None, "sgd", notes)


def _rows(path: Path, entries: list[dict[str, Any]]) -> tuple[Raw, list[list[str]]]:
    """The rows of a file, and the modules that they are made of; all must be alike and follow each other."""
    first = entries[0]
    kind, size, modules = str(first["dtype"]), first["block_size"], first["path"]
    if any(module[-1] != "grad" for module in modules):
        raise DataError(f"{path}: holds more than gradients: {modules[0]}")
    if type(size) is not int or not kind.startswith("float"):
        raise DataError(f"{path}: rows of {size!r} numbers of type {kind!r} cannot be read")
    width = size * np.dtype(kind).itemsize
    for row, entry in enumerate(entries):
        same = entry["block_size"] == size and entry["dtype"] == kind and entry["path"] == modules
        if not same or entry["offset"] != row * width:
            raise DataError(
                f"{path}: row {row} is not like the first one: only rows of one length can be stored"
            )
    return Raw(path, (len(entries), size), kind), modules


class _Kept:
    """Some rows of a file."""

    def __init__(self, rows: Raw, kept: npt.NDArray[np.int64]) -> None:
        self._rows, self._kept = rows, kept
        self.shape = (len(kept), rows.shape[1])
        self.dtype = rows.dtype

    def __getitem__(self, rows: slice, /) -> npt.NDArray[Any]:
        wanted = self._kept[rows]
        if not len(wanted):
            return np.empty((0, self.shape[1]), self.dtype)
        first = int(wanted[0])
        return self._rows[first : int(wanted[-1]) + 1][wanted - first]
