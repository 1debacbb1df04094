"""Rows that a choice must leave out, from files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gradstore.errors import DataError

__all__ = ["excluded_rows"]


def excluded_rows(paths: Iterable[str | Path]) -> list[str]:
    """Ids and content hashes of the rows in some files, for `Limits`.

    Parameters
    ----------
    paths : iterable of path
        Files of rows in any format that `extract` reads; with the suffix ``.txt`` ids, one a line.

    Returns
    -------
    list of str
        Sorted.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    from gradstore.data import load_rows
    from gradstore.records import content_hash

    found: set[str] = set()
    for path in map(Path, paths):
        if path.suffix == ".txt":
            try:
                found.update(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path} cannot be read: {error}") from error
        else:
            for row in load_rows(path).rows:
                found.update((row.id, content_hash(row.record, "surrogatepass")))
    return sorted(found - {""})
