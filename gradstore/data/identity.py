"""Ids that do not depend on the order of rows, the file format, or how a record is spelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradstore.errors import DataError
from gradstore.records import canonical_json, digest

__all__ = ["HASH_LENGTH", "content_hash", "given_id", "unique_ids"]

HASH_LENGTH = 24
"""Hexadecimal digits of a content hash: 96 bits, a chance of 1e-11 of any clash among a billion rows."""


def content_hash(record: Mapping[str, Any], where: str) -> str:
    """Digest of a record's canonical JSON without its ``id`` and without null fields.

    Nulls do not count because columnar files cannot tell them from absent fields.
    """
    content = {key: _canonical(value) for key, value in record.items() if key != "id" and value is not None}
    try:
        return digest(canonical_json(content))[:HASH_LENGTH]
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: half a character (a lone surrogate such as \\ud83d) in it; repair or remove the row"
        ) from error
    except TypeError as error:
        raise DataError(
            f"{where}: a value that JSON cannot hold ({error}); remove or convert its column"
        ) from error


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


def given_id(record: Mapping[str, Any], where: str) -> str | None:
    """The record's own id as text; None if it has none."""
    value = record.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(
            f"{where}: the id must be text or a whole number, not {type(value).__name__}; "
            "convert or drop the field"
        )
    return str(value)


def unique_ids(bases: Sequence[str], hashes: Sequence[str], places: Sequence[str]) -> list[str]:
    """Ids without repeats: later rows of the same id and content become ``id#2``, ``id#3`` and so on.

    Parameters
    ----------
    bases : sequence of str, length n
        Given ids, or content hashes where none is given.
    hashes, places : sequence of str, length n
        Content hash of each row, and its place for messages.

    Raises
    ------
    DataError
        If one id stands for two different contents.
    """
    first: dict[str, int] = {}
    taken = set(bases)
    copies: dict[str, int] = {}
    ids = []
    for row, base in enumerate(bases):
        other = first.setdefault(base, row)
        if hashes[other] != hashes[row]:
            raise DataError(
                f"{places[row]}: the id {base!r} was given to another row at {places[other]}; "
                "make ids unique, or drop the id field to use content hashes"
            )
        name = base
        if other != row:
            number = copies.get(base, 1) + 1
            while (name := f"{base}#{number}") in taken:
                number += 1
            copies[base] = number
        ids.append(name)
    return ids
