"""How many rows come from where, counted when a data set is sealed, so that nobody reads a column to learn it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["MEMBER", "SourceCounts", "told_sources"]

MEMBER = "sources"
_MOST, _LONGEST = 1000, 1 << 16
"""Names, and characters of all names, that a manifest lists."""


class SourceCounts:
    """Counts rows by source, until there are too many sources."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._many = False

    def add(self, names: Iterable[str]) -> None:
        """Count more rows."""
        if not self._many:
            self._counts.update(names)
            self._many = len(self._counts) > _MOST or sum(map(len, self._counts)) > _LONGEST

    @property
    def found(self) -> dict[str, int] | None:
        """Rows by source; None if there are more than 1000 sources, or their names are very long."""
        return None if self._many else dict(self._counts)


def told_sources(facts: Mapping[str, Any], column: Callable[[], Iterable[str]]) -> Mapping[str, int] | None:
    """Rows by source: as a manifest tells, or counted if an earlier version wrote it; None if there are too many.

    Parameters
    ----------
    facts : Mapping
        Of the data set's manifest.
    column : callable
        Gives each row's source; only called to count them.
    """
    if MEMBER in facts:
        told: Mapping[str, int] | None = facts[MEMBER]
        return told
    counts = SourceCounts()
    counts.add(column())
    return counts.found
