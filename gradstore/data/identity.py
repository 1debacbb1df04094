"""Ids that do not depend on the order of rows, the file format, or how a record is spelled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradstore.errors import DataError
from gradstore.records import content_hash as hash_of

__all__ = ["content_hash", "copy_numbers", "given_id", "rows_digest"]


def content_hash(record: Mapping[str, Any], where: str) -> str:
    """`gradstore.records.content_hash` of a record that stands at `where`, or what is wrong with it."""
    try:
        return hash_of(record)
    except UnicodeEncodeError as error:
        raise _half_a_character(where) from error
    except TypeError as error:
        raise DataError(
            f"{where}: a value that JSON cannot hold ({error}); remove or convert its column"
        ) from error
    except RecursionError as error:
        raise DataError(f"{where}: nested too deep; take the row out") from error


def _half_a_character(where: str) -> DataError:
    return DataError(
        f"{where}: half a character (a lone surrogate such as \\ud83d) in it; repair or remove the row"
    )


def given_id(record: Mapping[str, Any], where: str) -> bytes:
    """The record's own id as UTF-8 text; empty if it has none."""
    value = record.get("id")
    if value is None:
        return b""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(
            f"{where}: the id must be text or a whole number, not {type(value).__name__}; "
            "convert or drop the field"
        )
    try:
        return str(value).encode()
    except UnicodeEncodeError as error:
        raise _half_a_character(where) from error


def copy_numbers(
    hashes: npt.NDArray[np.int64],
    contents: npt.NDArray[np.uint8],
    base: Callable[[int], str],
    place: Callable[[int], str],
) -> npt.NDArray[np.int32]:
    """Numbers that make ids unique: 1 for the first row of an id, k for one that becomes ``id#k``.

    Parameters
    ----------
    hashes : ndarray of int64, shape (n,)
        ``hash`` of each row's base, so that only rows that share one need be looked at.
    contents : ndarray of uint8, shape (n, 12)
    base, place : callable
        Of a row: its given id, else its content hash; and its place for messages.

    Raises
    ------
    DataError
        If one id stands for two different contents.
    """
    numbers = np.ones(len(hashes), np.int32)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]

    def taken(name: str) -> bool:
        first, last = (
            np.searchsorted(ordered, hash(name), "left"),
            np.searchsorted(ordered, hash(name), "right"),
        )
        return any(base(int(row)) == name for row in order[first:last])

    conflicts = []
    for rows in _groups(order, ordered):
        first: dict[str, int] = {}
        copies: dict[str, int] = {}
        for row in rows:
            name = base(row)
            other = first.setdefault(name, row)
            if other == row:
                continue
            if not np.array_equal(contents[other], contents[row]):
                conflicts.append((row, other))
                break
            number = copies.get(name, 1) + 1
            while taken(f"{name}#{number}"):
                number += 1
            copies[name] = numbers[row] = number
    if conflicts:
        row, other = min(conflicts)
        raise DataError(
            f"{place(row)}: the id {base(row)!r} was given to another row at {place(other)}; "
            "make ids unique, or drop the id field to use content hashes"
        )
    return numbers


def _groups(order: npt.NDArray[np.int64], ordered: npt.NDArray[np.int64]) -> Iterator[list[int]]:
    """Rows that share a hash with others, in file order."""
    edges = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1, append=ordered[-1:] + 1))
    for group in np.flatnonzero(np.diff(edges) > 1):
        yield order[edges[group] : edges[group + 1]].tolist()


def rows_digest(fmt: str, ids: Iterable[str], contents: npt.NDArray[np.uint8]) -> str:
    """`gradstore.records.digest` of the format and each row's id and content hash, a row at a time."""
    state = hashlib.sha256(_part(fmt.encode()))
    for name, content in zip(ids, contents, strict=True):
        state.update(_part(name.encode()) + _part(content.tobytes().hex().encode()))
    return state.hexdigest()[:32]


def _part(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data
