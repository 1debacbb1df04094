"""``index.json``: what lies in a store on a server that cannot list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property

from gradstore.errors import CorruptError, IncompatibleError

__all__ = ["INDEX", "LARGEST_INDEX", "Index", "parse_index"]

INDEX = "index.json"
LARGEST_INDEX = 64 << 20
_FORMAT = 1
_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._+-]{0,127}/){0,15}[A-Za-z0-9][A-Za-z0-9._+-]{0,127}", re.ASCII)


class Index:
    """Paths of a store's groups and manifests, relative to its root."""

    def __init__(self, paths: frozenset[str]) -> None:
        self.paths = paths

    def names(self, place: str) -> list[str]:
        """Sorted names directly below a folder."""
        return sorted(self._below.get(place, ()))

    def files(self, place: str) -> Iterator[str]:
        """Sorted paths below a folder, relative to it."""
        start = f"{place}/" if place else ""
        yield from sorted(path.removeprefix(start) for path in self.paths if path.startswith(start))

    @cached_property
    def _below(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path in self.paths:
            parent, _, name = path.rpartition("/")
            while True:
                found.setdefault(parent, set()).add(name)
                if not parent:
                    break
                parent, _, name = parent.rpartition("/")
        return found


def parse_index(data: bytes, where: str) -> Index:
    """Read a listing; it comes from a stranger, and each path in it is checked.

    Raises
    ------
    CorruptError
        If it is no listing, is too large, or names what no store has.
    IncompatibleError
        If it is of a newer format.
    """
    cure = "write it anew with `gradstore store card` on the store, and copy it there"
    if len(data) > LARGEST_INDEX:
        raise CorruptError(f"{where} is larger than {LARGEST_INDEX >> 20} MiB: {cure}")
    try:
        document = json.loads(data)
        version, paths = document["format"], document["paths"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise CorruptError(f"{where} is no listing of a store: {cure}") from None
    if type(version) is int and version > _FORMAT:
        raise IncompatibleError(
            f"{where} is of format {version}, this gradstore reads format 1: upgrade gradstore"
        )
    if version != _FORMAT or not isinstance(paths, list):
        raise CorruptError(f"{where} is no listing of a store: {cure}")
    for path in paths:
        if not isinstance(path, str) or _PATH.fullmatch(path) is None:
            raise CorruptError(f"{where} names {str(path)[:200]!r}, which no store has: {cure}")
    return Index(frozenset(paths))
